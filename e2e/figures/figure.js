// Rounds of a measurement, and how a figure is printed.

/** Rounds of each measurement; the figure is their median. */
export const rounds = Number(process.env.ROUNDS ?? 5);

/** Prints the median of a figure and its range. @param {string} name @param {number[]} all @param {number} digits */
export function tell(name, all, digits) {
  const sorted = [...all].sort((a, b) => a - b);
  const [middle, least, most] = [sorted[sorted.length >> 1], sorted[0], sorted.at(-1)].map((one) =>
    one.toFixed(digits),
  );
  console.log(`${middle.padStart(8)}  ${name} (of ${all.length}: ${least} to ${most})`);
}
