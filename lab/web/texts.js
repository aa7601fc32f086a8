/* What the page says, in two languages. `{name}` in a text is filled in. */

import { excerpt } from "./dom.js";

export const TEXTS = {
  en: {
    title: "Chat",
    skip: "Skip to the message field",
    rooms: "Rooms",
    offered: "Rooms to join",
    joinRoom: "Join a room",
    join: "Join",
    leave: "Leave {room}",
    roomLabel: "Room",
    roomHint: "Letters, digits and _ - . in any script. Whoever knows the name can come in.",
    badRoom: "That cannot be a room’s name: 1 to 64 letters, digits, _, - or . and not only dots.",
    nameTitle: "Who are you?",
    nameLabel: "Your name",
    nameHint: "The others see it beside what you say.",
    badName: "That cannot be a name: 1 to 64 characters, and not “system”.",
    go: "Enter the chat",
    change: "Change name",
    cancel: "Cancel",
    you: "you",
    connecting: "Connecting…",
    online: "Connected",
    waiting: "Reconnecting…",
    stopped: "Not connected",
    hurry: "Try now",
    dismiss: "Dismiss",
    noRooms: "No room yet",
    noRoomsHint: "Join one to read what was said there, and to talk.",
    messages: "Messages in {room}",
    older: "Show older messages",
    loading: "Asking for older messages…",
    joining: "Entering the room…",
    silence: "Nothing was said here yet. Be the first.",
    beginning: "Here the room begins.",
    newest: "To the newest",
    unread: "{count} unread",
    message: "Message to {room}",
    keys: "Enter sends, Shift + Enter begins a new line.",
    send: "Send",
    sending: "sending…",
    sayAgain: "Send again",
    discard: "Discard",
    twice: "The server gave this number twice.",
    gap: "Numbers {from} to {to} are missing: the server has none of them.",
    gapOne: "Number {from} is missing: the server does not have it.",
    forgotten: "The server has forgotten the messages up to number {count}, and counts anew.",
    here: "Who is here",
    hereCount: "{count} here",
    wasHere: "Who was here",
    wasHereCount: "{count} were here",
    away: "away",
    offline: "offline",
    offlineSince: "offline since {time}",
    isOnline: "online",
    unfold: "Show all {count} characters",
    fold: "Show less",
    morePeople: "Show {count} more",
    unreadable: "The server sent a frame that this page cannot read: {why}.",
    unreadableCount: "{count} such frames",
    notText: "it is binary",
    tooLong: "it is longer than 1 MiB",
    notJson: "it is not JSON",
    noType: "it is no object with a “type”",
    badField: "in a “{type}”, “{field}” is missing or is not what it should be",
    errors: {
      bad_json: "The server did not understand us.",
      bad_request: "The server could not make sense of what we asked.",
      unknown_type: "The server does not know what we asked for.",
      bad_room: "The server says that this cannot be a room’s name.",
      bad_content: "The server does not take this text.",
      bad_name: "The server does not take this name. Choose another one.",
      not_joined: "The server says that you are not in this room.",
      too_large: "This is too long: a message has at most 64 KiB. Send it in parts.",
      rate_limited: "You talk faster than the server takes it.",
      unavailable: "The server cannot do this now.",
      too_many_rooms: "You are in as many rooms as this page can show. Leave one first.",
      outbox_full: "Too much waits to be sent already. Send this when some of it has arrived.",
    },
    detail: "{text} It says: “{message}”",
  },
  fr: {
    title: "Chat",
    skip: "Aller au champ de message",
    rooms: "Salons",
    offered: "Salons à rejoindre",
    joinRoom: "Rejoindre un salon",
    join: "Rejoindre",
    leave: "Quitter {room}",
    roomLabel: "Salon",
    roomHint: "Lettres, chiffres et _ - . de toute écriture. Qui connaît le nom peut entrer.",
    badRoom: "Ce ne peut être un nom de salon : 1 à 64 lettres, chiffres, _, - ou . et pas seulement des points.",
    nameTitle: "Qui êtes-vous ?",
    nameLabel: "Votre nom",
    nameHint: "Les autres le voient à côté de ce que vous dites.",
    badName: "Ce ne peut être un nom : 1 à 64 caractères, et pas « system ».",
    go: "Entrer",
    change: "Changer de nom",
    cancel: "Annuler",
    you: "vous",
    connecting: "Connexion…",
    online: "Connecté",
    waiting: "Reconnexion…",
    stopped: "Non connecté",
    hurry: "Essayer maintenant",
    dismiss: "Fermer",
    noRooms: "Aucun salon",
    noRoomsHint: "Rejoignez-en un pour lire ce qui s’y est dit, et pour parler.",
    messages: "Messages dans {room}",
    older: "Afficher les messages plus anciens",
    loading: "Recherche de messages plus anciens…",
    joining: "Entrée dans le salon…",
    silence: "Rien n’a encore été dit ici. À vous de commencer.",
    beginning: "Ici commence le salon.",
    newest: "Aux plus récents",
    unread: "{count} non lus",
    message: "Message à {room}",
    keys: "Entrée envoie, Maj + Entrée va à la ligne.",
    send: "Envoyer",
    sending: "envoi…",
    sayAgain: "Renvoyer",
    discard: "Abandonner",
    twice: "Le serveur a donné ce numéro deux fois.",
    gap: "Les numéros {from} à {to} manquent : le serveur n’en a aucun.",
    gapOne: "Le numéro {from} manque : le serveur ne l’a pas.",
    forgotten: "Le serveur a oublié les messages jusqu’au numéro {count}, et recommence à compter.",
    here: "Qui est là",
    hereCount: "{count} ici",
    wasHere: "Qui était là",
    wasHereCount: "{count} étaient là",
    away: "absent",
    offline: "hors ligne",
    offlineSince: "hors ligne depuis {time}",
    isOnline: "en ligne",
    unfold: "Afficher les {count} caractères",
    fold: "Réduire",
    morePeople: "Afficher {count} de plus",
    unreadable: "Le serveur a envoyé une trame que cette page ne peut pas lire : {why}.",
    unreadableCount: "{count} trames de ce genre",
    notText: "elle est binaire",
    tooLong: "elle dépasse 1 Mio",
    notJson: "ce n’est pas du JSON",
    noType: "ce n’est pas un objet avec un « type »",
    badField: "dans « {type} », « {field} » manque ou n’est pas ce qui est prévu",
    errors: {
      bad_json: "Le serveur ne nous a pas compris.",
      bad_request: "Le serveur n’a pas su quoi faire de notre demande.",
      unknown_type: "Le serveur ne connaît pas ce que nous demandons.",
      bad_room: "Le serveur dit que ce ne peut être un nom de salon.",
      bad_content: "Le serveur n’accepte pas ce texte.",
      bad_name: "Le serveur n’accepte pas ce nom. Choisissez-en un autre.",
      not_joined: "Le serveur dit que vous n’êtes pas dans ce salon.",
      too_large: "C’est trop long : un message a 64 Kio au plus. Envoyez-le en plusieurs parties.",
      rate_limited: "Vous parlez plus vite que le serveur ne l’accepte.",
      unavailable: "Le serveur ne peut pas le faire maintenant.",
      too_many_rooms: "Vous êtes dans autant de salons que cette page peut afficher. Quittez-en un d’abord.",
      outbox_full: "Trop de messages attendent déjà d’être envoyés. Envoyez celui-ci quand il en restera moins.",
    },
    detail: "{text} Il dit : « {message} »",
  },
};

const asked = new URLSearchParams(location.search).get("lang");

/** What `?lang=` says, or the first locale that the browser prefers and whose language we have, such as en-GB. */
export const locale = Object.hasOwn(TEXTS, asked)
  ? asked
  : (navigator.languages.find((each) => each.slice(0, 2).toLowerCase() in TEXTS) ?? "en");

/** Its language: what our texts are in. */
export const language = locale.slice(0, 2).toLowerCase();

/** The text of that name, with values for its `{places}`. */
export function text(name, values = {}) {
  return fill(TEXTS[language][name], values);
}

/** A text with values for its `{places}`. */
export function fill(words, values) {
  return words.replace(/\{(\w+)\}/g, (_, place) => values[place]);
}

/** What the server's error means; in its own words, or their beginning, where we have none. */
export function explain({ code, message }) {
  const known = new Map(Object.entries(TEXTS[language].errors)).get(code); // it may be called `constructor`
  const words = excerpt(message ?? code ?? "");
  if (!known) return words || TEXTS[language].errors.unavailable;
  return message ? text("detail", { text: known, message: words }) : known;
}

/** Why we cannot read a frame. */
export function explainFlaw({ name, values }) {
  const shown = Object.entries(values).map(([place, value]) => [place, excerpt(value)]);
  return text("unreadable", { why: text(name, Object.fromEntries(shown)) });
}
