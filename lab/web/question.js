/* Asks the user for a word, in a dialog. */

import { find } from "./dom.js";

/**
 * Ask, until the answer is right or the user gives up.
 *
 * title, label, hint, agree   what the dialog says
 * value                       what stands in the field at first
 * wrong                       why we ask again, if we do
 * check                       gets the answer, and returns what is wrong with it or null
 * mayCancel                   whether there is a way out without an answer
 *
 * Resolves to the answer without spaces around it, or to null.
 */
export function ask({ title, label, hint, agree, value = "", wrong = "", check, mayCancel = true }) {
  const dialog = find("#question");
  const field = find("#answer");
  const cancel = dialog.querySelector("button[type=button]");
  find("#question-title").textContent = title;
  dialog.querySelector("label").textContent = label;
  find("#hint").textContent = hint;
  find("#wrong").textContent = wrong;
  find("#agree").textContent = agree;
  field.value = value;
  cancel.hidden = !mayCancel;

  return new Promise((resolve) => {
    const done = (answer) => {
      dialog.onclose = null;
      dialog.close();
      resolve(answer);
    };
    dialog.querySelector("form").onsubmit = (event) => {
      event.preventDefault();
      const answer = field.value.trim();
      const fault = check(answer);
      if (fault === null) return done(answer);
      find("#wrong").textContent = fault;
      field.focus();
    };
    cancel.onclick = () => done(null);
    dialog.oncancel = (event) => mayCancel || event.preventDefault();
    // A browser may close a dialog in spite of that, when Escape is pressed twice.
    dialog.onclose = () => (mayCancel ? done(null) : dialog.showModal());
    dialog.showModal();
    field.select();
  });
}
