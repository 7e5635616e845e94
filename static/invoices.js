// @ts-check
// Documents of an order as PDF: its invoice and credit notes, its tickets. They are fetched with what opens the order, which a link of the
// browser would not send.
import { phrase } from "./api.js";
import { make } from "./make.js";
import { money } from "./money.js";

/**
 * @param {any[]} invoices
 * @param {(number: string) => Promise<Blob>} fetchPdf
 * @param {(problem: any) => void} fail
 */
export function invoiceList(invoices, fetchPdf, fail) {
  return invoices.map((invoice) => {
    const kind = phrase(invoice.kind === "invoice" ? "price.invoice" : "price.credit_note");
    const button = make("button", { type: "button" }, `${kind} ${invoice.number}`);
    button.addEventListener("click", () => savePdf(invoice.number, fetchPdf(invoice.number)).catch(fail));
    return make("li", {}, button, make("span", {}, money(invoice.total)));
  });
}

/** Saves a document under a name. @param {string} name @param {Promise<Blob>} pdf */
export async function savePdf(name, pdf) {
  const url = URL.createObjectURL(await pdf);
  const link = /** @type {HTMLAnchorElement} */ (make("a", { href: url, download: `${name}.pdf` }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
