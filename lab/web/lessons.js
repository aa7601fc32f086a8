/*
 * The lessons of the teaching page, in two languages.
 *
 * In a step, `**…**` are the names of people, and the words on what is to be pressed or chosen there: so the page
 * can do a step by itself, and so can a test. The handouts of the exercises have the same steps word for word
 * (tests/browser/test_lesson.py holds this), with the seconds that the command there asks for in the place of
 * {interval} and {timeout}.
 */

import { language } from "./texts.js";

/** name -> {board: what is shown at first, heartbeats: whether they are, en, fr}; a step is [id, words]. */
export const LESSONS = {
  chat: {
    board: "order",
    heartbeats: false,
    en: {
      title: "Chat",
      steps: [
        [
          "say",
          "For **ada**, press **Send**. One frame goes out, and a `message` comes in at all three, ada " +
            "too.",
        ],
        [
          "leave",
          "For **cyd**, press **Leave**. ada and bob are told by a `message` of the user `system`, and " +
            "by a `presence` frame.",
        ],
        [
          "without",
          "For **bob**, press **Send**. It comes in at ada and bob; cyd, who has left, receives " +
            "nothing.",
        ],
        [
          "join",
          "For **cyd**, press **Join**. A `history` frame brings what she missed, and the others are " +
            "told that she is there.",
        ],
        [
          "bad",
          "For **bob**, choose **Not JSON** and press **Send bad frame**. An `error` comes in at bob " +
            "alone, and his connection stays open.",
        ],
        [
          "other",
          "For **bob**, choose **Room not joined** and press **Send bad frame**. That is refused, too: " +
            "to talk in a room, one has to join it.",
        ],
        ["cut", "For **bob**, press **Cut**. He sent no `leave`, but the others are told that he left."],
      ],
    },
    fr: {
      title: "Chat",
      steps: [
        [
          "say",
          "Chez **ada**, cliquez sur **Envoyer**. Une trame part, et un `message` arrive chez tous les " +
            "trois, ada comprise.",
        ],
        [
          "leave",
          "Chez **cyd**, cliquez sur **Quitter**. ada et bob l’apprennent par un `message` de " +
            "l’utilisateur `system`, et par une trame `presence`.",
        ],
        [
          "without",
          "Chez **bob**, cliquez sur **Envoyer**. Cela arrive chez ada et bob ; cyd, qui est sortie, " +
            "ne reçoit rien.",
        ],
        [
          "join",
          "Chez **cyd**, cliquez sur **Rejoindre**. Une trame `history` apporte ce qu’elle a manqué, " +
            "et les autres apprennent qu’elle est là.",
        ],
        [
          "bad",
          "Chez **bob**, choisissez **Pas du JSON** et cliquez sur **Trame invalide**. Une `error` " +
            "arrive chez bob seul, et sa connexion reste ouverte.",
        ],
        [
          "other",
          "Chez **bob**, choisissez **Salle non rejointe** et cliquez sur **Trame invalide**. C’est " +
            "refusé aussi : pour parler dans une salle, il faut l’avoir rejointe.",
        ],
        [
          "cut",
          "Chez **bob**, cliquez sur **Couper**. Il n’a pas envoyé de `leave`, mais les autres " +
            "apprennent qu’il est parti.",
        ],
      ],
    },
  },

  ordering: {
    board: "order",
    heartbeats: false,
    en: {
      title: "Ordering",
      steps: [
        [
          "burst",
          "For **everyone**, press **10 at once**. Three clients send at the same time, and still all " +
            "receive the same 30 messages in the same order, numbered without a gap.",
        ],
        [
          "missed",
          "For **cyd**, press **Cut**. Then, for **ada**, press **10 at once**: cyd’s row stays where " +
            "it is.",
        ],
        [
          "since",
          "For **cyd**, press **Connect**. Her `join` says `since` with the highest number that she " +
            "has, and a `history` frame brings the 10 messages that she missed, once.",
        ],
        [
          "seam",
          "For **cyd**, press **Cut**; for **ada**, press **10 at once**; and right away, for **cyd**, " +
            "press **Connect**. Where the history ends and live messages begin, nothing is missing and " +
            "nothing comes twice.",
        ],
        [
          "nosince",
          "For **cyd**, press **Cut**, choose **Without since** and press **Connect**. The server does " +
            "not know what she has, and sends the newest messages again, at most 50.",
        ],
        [
          "twice",
          "For **bob**, press **Twice, same id**. Two frames go out and one message is stored: the " +
            "second frame is answered to bob alone, with the number of the first.",
        ],
      ],
    },
    fr: {
      title: "Ordre",
      steps: [
        [
          "burst",
          "Pour **tous**, cliquez sur **10 d’un coup**. Trois clients envoient en même temps, et " +
            "pourtant tous reçoivent les mêmes 30 messages dans le même ordre, numérotés sans trou.",
        ],
        [
          "missed",
          "Chez **cyd**, cliquez sur **Couper**. Puis, chez **ada**, cliquez sur **10 d’un coup** : la " +
            "ligne de cyd reste où elle est.",
        ],
        [
          "since",
          "Chez **cyd**, cliquez sur **Connecter**. Son `join` dit `since` avec le plus grand numéro " +
            "qu’elle a, et une trame `history` apporte les 10 messages qu’elle a manqués, une fois.",
        ],
        [
          "seam",
          "Chez **cyd**, cliquez sur **Couper** ; chez **ada**, sur **10 d’un coup** ; et aussitôt, " +
            "chez **cyd**, sur **Connecter**. Là où l’historique finit et où le direct commence, rien ne " +
            "manque et rien ne vient deux fois.",
        ],
        [
          "nosince",
          "Chez **cyd**, cliquez sur **Couper**, choisissez **Sans since** et cliquez sur " +
            "**Connecter**. Le serveur ne sait pas ce qu’elle a, et envoie à nouveau les derniers " +
            "messages, 50 au plus.",
        ],
        [
          "twice",
          "Chez **bob**, cliquez sur **2 fois, même id**. Deux trames partent et un message est stocké " +
            ": la seconde trame n’a de réponse que pour bob, avec le numéro de la première.",
        ],
      ],
    },
  },

  presence: {
    board: "presence",
    heartbeats: true,
    en: {
      title: "Presence",
      steps: [
        [
          "alive",
          "Look at the frames. Every {interval} s the server sends a `heartbeat` to each person, who " +
            "answers with one: then the silence of this person begins anew.",
        ],
        [
          "silent",
          "For **bob**, press **Go silent**. His connection stays open, but he answers no more, like a " +
            "computer that is frozen. After {timeout} s of silence the others are told that he is " +
            "offline, and the server closes his connection. Before, they may be told that he is away.",
        ],
        ["back", "For **bob**, press **Connect**. The others are told that he is online again."],
        ["pause", "For **ada**, press **Go silent**, and wait for about half of the {timeout} s."],
        [
          "resume",
          "For **ada**, press **Answer again** before the {timeout} s are over. One frame is enough: " +
            "she was never offline.",
        ],
        [
          "cut",
          "For **cyd**, press **Cut**. She sends no `leave`, but her connection ends, and the server " +
            "notices: the others are told at once, without a timeout.",
        ],
        [
          "leave",
          "For **bob**, press **Leave**. He is offline in this room, though his connection is open and " +
            "he goes on answering heartbeats.",
        ],
      ],
    },
    fr: {
      title: "Présence",
      steps: [
        [
          "alive",
          "Regardez les trames. Toutes les {interval} s, le serveur envoie un `heartbeat` à chaque " +
            "personne, qui répond par un autre : le silence de cette personne repart alors de zéro.",
        ],
        [
          "silent",
          "Chez **bob**, cliquez sur **Se taire**. Sa connexion reste ouverte, mais il ne répond plus, " +
            "comme un ordinateur figé. Après {timeout} s de silence, les autres apprennent qu’il est " +
            "hors ligne, et le serveur ferme sa connexion. Avant cela, ils peuvent apprendre qu’il est " +
            "absent.",
        ],
        [
          "back",
          "Chez **bob**, cliquez sur **Connecter**. Les autres apprennent qu’il est de nouveau en " +
            "ligne.",
        ],
        [
          "pause",
          "Chez **ada**, cliquez sur **Se taire**, et attendez à peu près la moitié des {timeout} s.",
        ],
        [
          "resume",
          "Chez **ada**, cliquez sur **Répondre** avant la fin des {timeout} s. Une seule trame suffit " +
            ": elle n’a jamais été hors ligne.",
        ],
        [
          "cut",
          "Chez **cyd**, cliquez sur **Couper**. Elle n’envoie pas de `leave`, mais sa connexion se " +
            "termine, et le serveur le remarque : les autres l’apprennent aussitôt, sans délai " +
            "d’expiration.",
        ],
        [
          "leave",
          "Chez **bob**, cliquez sur **Quitter**. Il est hors ligne dans cette salle, bien que sa " +
            "connexion soit ouverte et qu’il continue de répondre aux heartbeats.",
        ],
      ],
    },
  },

  persistence: {
    board: "order",
    heartbeats: false,
    en: {
      title: "Persistence",
      steps: [
        [
          "burst",
          "For **everyone**, press **10 at once**. Whatever somebody has received has to be on the " +
            "disk already.",
        ],
        ["kill", "In the terminal, run `kill -9 $!`. All connections end, and nobody could say goodbye."],
        ["restart", "In the terminal, start the server again, with the same command."],
        [
          "since",
          "For **everyone**, press **Connect**. Each `join` says `since` with the highest number of " +
            "before, and no message comes: nothing was said meanwhile.",
        ],
        [
          "all",
          "For **cyd**, press **Cut**, choose **Since 0** and press **Connect**. All messages come " +
            "again from the disk, under the numbers that they had.",
        ],
        [
          "retry",
          "For **bob**, press **Resend**. The server that was started again knows this id: bob alone " +
            "is sent the message, under its old number, and it is not stored again.",
        ],
        [
          "on",
          "For **everyone**, press **10 at once**. The numbers go on where they were, and do not begin " +
            "anew.",
        ],
      ],
    },
    fr: {
      title: "Persistance",
      steps: [
        [
          "burst",
          "Pour **tous**, cliquez sur **10 d’un coup**. Tout ce que quelqu’un a reçu doit déjà être " +
            "sur le disque.",
        ],
        [
          "kill",
          "Dans le terminal, lancez `kill -9 $!`. Toutes les connexions se terminent, et personne n’a " +
            "pu dire au revoir.",
        ],
        ["restart", "Dans le terminal, redémarrez le serveur, avec la même commande."],
        [
          "since",
          "Pour **tous**, cliquez sur **Connecter**. Chaque `join` dit `since` avec le plus grand " +
            "numéro d’avant, et aucun message n’arrive : rien n’a été dit entre-temps.",
        ],
        [
          "all",
          "Chez **cyd**, cliquez sur **Couper**, choisissez **Since 0** et cliquez sur **Connecter**. " +
            "Tous les messages reviennent du disque, sous les numéros qu’ils avaient.",
        ],
        [
          "retry",
          "Chez **bob**, cliquez sur **Renvoyer**. Le serveur redémarré connaît cet id : bob seul " +
            "reçoit le message, sous son ancien numéro, et il n’est pas stocké à nouveau.",
        ],
        [
          "on",
          "Pour **tous**, cliquez sur **10 d’un coup**. Les numéros continuent où ils en étaient, et " +
            "ne recommencent pas.",
        ],
      ],
    },
  },
};

/** A lesson in the language of the page: {title, steps}. */
export const lessonOf = (name) => LESSONS[name][language];
