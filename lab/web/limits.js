/*
 * What this page keeps and shows at most, whatever a server sends: a browser that has to hold or to draw more
 * becomes slow, and in the end its tab is closed with all that stood in it.
 *
 * Nothing is lost by it. What is dropped or not shown is asked for again, or shown, when somebody wants it.
 */

export const LIMITS = {
  frame: 1024 * 1024, // characters in a frame of the server: the protocol's own limit
  rooms: 1000, // as many as our server lets one connection join
  memory: 50e6, // characters in all rooms' lines, of which each room has an equal share: 100 MB at most ...
  line: 300, // ... where this many are added for each line: so 100,000 short messages fit in a single room
  names: 100e3, // people in all rooms, of which each has the same share; about 20 MB
  gone: 50, // people of one room who are offline: enough to see who has just left
  goneFor: 3600e3, // milliseconds after which nobody cares any more who was there
  shownNames: 100, // people on the page: several screens, and drawn in a few milliseconds; a button shows more
  foldedText: 2000, // characters of a message that are shown until it is unfolded ...
  foldedLines: 20, // ... and its lines: so a message is seldom higher than half a screen
  outbox: 1000, // messages that wait to be sent ...
  outboxText: 1e6, // ... and the characters in them: browsers keep 5 million of them for a page
  selected: 2000, // lines that stay on the page as long as a selection goes through them
  lessonFrames: 10_000, // frames of each person that the teaching page keeps ...
  lessonText: 5e6, // ... and the characters in them ...
  lessonFrame: 20_000, // ... of which one frame has at most that many
  lessonChat: 50, // messages of its small chats
  lessonNumbers: 60, // numbers in a row of it
  lessonFindings: 200, // broken rules that it lists; all are counted
  lessonPeople: 6, // people side by side
  excerpt: 200, // characters of what the server says about an error, and of a frame that cannot be read
};
