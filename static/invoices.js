// @ts-check
// Links to the invoice of an order and to its credit notes. They are fetched with what opens the order, which a link of the
// browser would not send.
import { make } from "./make.js";
import { money } from "./money.js";

/**
 * @param {any[]} invoices
 * @param {(number: string) => Promise<Blob>} fetchPdf
 * @param {(problem: any) => void} fail
 */
export function invoiceList(invoices, fetchPdf, fail) {
  return invoices.map((invoice) => {
    const kind = invoice.kind === "invoice" ? "Invoice" : "Credit note";
    const button = make("button", { type: "button" }, `${kind} ${invoice.number}`);
    button.addEventListener("click", () => save(invoice.number, fetchPdf).catch(fail));
    return make("li", {}, button, make("span", {}, money(invoice.total)));
  });
}

/** @param {string} number @param {(number: string) => Promise<Blob>} fetchPdf */
async function save(number, fetchPdf) {
  const url = URL.createObjectURL(await fetchPdf(number));
  const link = /** @type {HTMLAnchorElement} */ (make("a", { href: url, download: `${number}.pdf` }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
