// @ts-check
// Amounts of money as text. The server knows how many decimals the amounts of each currency have.
import { call } from "./api.js";

/** @type {Record<string, number>} */
let decimals = {};

/**
 * Fetches the decimals of all currencies: to be awaited before the first amount is written. Without them the browser's
 * own are good enough to buy with.
 */
export async function loadCurrencies() {
  decimals = await call("GET", "/api/v1/currencies").catch(() => decimals);
}

/** Decimals of the amounts of a currency. @param {string} currency */
export const decimalsOf = (currency) => decimals[currency] ?? 2;

/** Writes an amount of minor units. @param {{amount: number, currency: string}} money */
export function money({ amount, currency }) {
  const digits = decimals[currency];
  const format = new Intl.NumberFormat(document.documentElement.lang, {
    style: "currency",
    currency,
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
  return format.format(amount / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2));
}
