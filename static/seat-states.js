// @ts-check
// The states of a seat, by the number that stands for each in the bits.

export const AVAILABLE = 0,
  HELD = 1,
  BLOCKED = 3;
export const states = ["available", "held", "booked", "blocked"];
