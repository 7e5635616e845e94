// @ts-check
// Texts of the queue page, by the phase of the line or the state of a place: heading, text, next step. The server shows
// them to browsers without JavaScript: what stands between the backticks is JSON.

/** @type {Record<string, [string, string, string]>} */
export const texts = JSON.parse(`{
  "scheduled": ["The line is not open yet", "Come back when it opens.", ""],
  "welcome": ["Welcome", "Join the line to get your place. It is yours from then on.", ""],
  "sold_out": ["Sold out", "Nothing is available any more.", "The line is closed to new visitors."],
  "closed": ["The sale is over", "The line is closed to new visitors.", ""],
  "admitted": [
    "It is your turn",
    "Go to the checkout now: your turn lasts only a short while.",
    "Choose your seats and pay. Your seats are held for you while you do."
  ],
  "shopping": ["You are in the checkout", "Another tab may have it open.", "Go back to the checkout to finish."],
  "finished": [
    "All done",
    "Thank you. Your slot has gone to the next in line.",
    "You can join again at the back for more."
  ],
  "missed": [
    "Your turn has passed",
    "It ran out, or you were away too long.",
    "You can join again; you will be at the back."
  ],
  "left": ["You have left the line", "Your place has gone.", "You can join again; you will be at the back."],
  "ejected": [
    "You were removed from the line",
    "The organiser did this.",
    "Ask the organiser if you think it is a mistake."
  ]
}`);
