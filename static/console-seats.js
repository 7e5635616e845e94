// @ts-check
// The console's seats: the map of a sale, on which seats are blocked and put back, with reason and owner.
import { call, count, locale, phrase, root } from "./api.js";
import { api, atEnd, button, field, page, say, table } from "./console.js";
import { LiveSeats, fetchSeats } from "./live-seats.js";
import { make } from "./make.js";
import { MapCard } from "./map-card.js";
import { sectionParts } from "./map-sections.js";
import { SeatMap } from "./map.js";
import { loadCurrencies } from "./money.js";
import { placeOf, seatParts, seatState } from "./seat-list.js";
import { AVAILABLE, BLOCKED, states } from "./seat-states.js";

/** Largest number of chosen seats that are named. */
const NAMED_MAX = 20;
/** Largest number of seats of one request. */
const SEATS_MAX = 1000;

/** @param {string} event @returns {Promise<() => void>} shows the page */
export async function seatsPage(event) {
  const base = `/api/v1/events/${event}`;
  const [layout, blocks] = await Promise.all([
    call("GET", `${base}/seating`, { cache: "no-cache" }),
    call("GET", `${api}/events/${event}/seats/blocks`),
    loadCurrencies(),
  ]);
  return () => new SeatsPage(event, layout, blocks).show();
}

class SeatsPage {
  /** @param {string} event @param {any} layout @param {any} blocks */
  constructor(event, layout, blocks) {
    this.base = `/api/v1/events/${event}`;
    this.url = `${api}/events/${event}`;
    this.event = event;
    this.layout = layout;
    this.blocks = blocks;
    /** Owner whose seats are listed; null for all. @type {string | null} */
    this.owner = null;
    this.details = make("div", { role: "status" });
    this.chosen = make("div");
    this.list = make("div");
    this.names = make("datalist", { id: "owners" });
    this.filter = /** @type {HTMLSelectElement} */ (make("select"));
    this.filter.addEventListener("change", () => {
      this.owner = this.filter.value === "*" ? null : this.filter.value;
      this.#load();
    });
  }

  show() {
    const canvas = /** @type {HTMLCanvasElement} */ (
      make("canvas", {
        className: "map",
        tabIndex: 0,
        role: "application",
        "aria-label": phrase("console.map"),
      })
    );
    const mini = /** @type {HTMLCanvasElement} */ (make("canvas", { className: "mini", "aria-hidden": "true" }));
    const beside = make("div", { className: "map-card", "aria-hidden": "true", hidden: true });
    const silence = make("p", { className: "bad", role: "status", hidden: true });
    this.outcome = make("div");
    page(
      make("p", {}, make("a", { href: `#/event/${this.event}` }, phrase("console.back"))),
      make("h1", {}, phrase("console.seats")),
      silence,
      make(
        "div",
        { className: "seats" },
        make(
          "section",
          {},
          this.#tools(),
          make("div", { className: "card map-box" }, canvas, mini, beside),
          make("p", { className: "soft" }, phrase("console.seats.help")),
        ),
        this.#panel(),
      ),
      this.#listCard(),
    );
    const card = new MapCard(beside);
    this.map = new SeatMap(
      canvas,
      this.layout,
      {
        onChoose: (seat) => this.#choose(seat),
        onArea: (area) => this.#showArea(area),
        onLevel: () => {},
        say,
        describe: (at) => this.#parts(at).join(", "),
        onPoint: (at, x, y) => card.show(at && this.#parts(at), x, y),
      },
      mini,
    );
    const live = new LiveSeats(() => fetchSeats(call, this.base), this.map, {
      onChange: () => this.#changed(),
      // Another plan: all of the page is made anew.
      onReplaced: () => dispatchEvent(new Event("hashchange")),
      onSilence: (since) => {
        silence.hidden = !since;
        const at = since ? new Date(since).toLocaleTimeString(locale) : "";
        silence.textContent = phrase("console.silence.seats", { since: at });
      },
    });
    live.refresh().catch(() => live.catchUp());
    const heard = live.watch(`${api}/events/${this.event}/seats/ws`);
    atEnd(() => heard.end());
    this.#showChosen();
    this.#showBlocks();
  }

  #tools() {
    const tool = (/** @type {string} */ text, /** @type {string} */ label, /** @type {() => void} */ act) => {
      const element = make("button", { type: "button", ariaLabel: label }, text);
      element.addEventListener("click", act);
      return element;
    };
    return make(
      "div",
      { className: "line tools", role: "group", "aria-label": phrase("console.map.tools") },
      tool("+", phrase("console.map.in"), () => this.map?.zoom(1.4)),
      tool("−", phrase("console.map.out"), () => this.map?.zoom(1 / 1.4)),
      tool(phrase("console.map.fit"), phrase("console.map.fit"), () => this.map?.fit()),
    );
  }

  #panel() {
    this.ownerField = field(phrase("console.block.owner"), {
      maxLength: 100,
      placeholder: phrase("console.block.owner_sample"),
      autocomplete: "off",
    });
    this.ownerField.querySelector("input")?.setAttribute("list", "owners");
    this.reasonField = field(phrase("console.block.reason"), {
      maxLength: 200,
      placeholder: phrase("console.block.reason_sample"),
    });
    const value = (/** @type {Element | undefined} */ label) => label?.querySelector("input")?.value.trim() || null;
    const change = async (/** @type {string} */ what, /** @type {any} */ more) => {
      const seats = [...(this.map?.mine ?? [])];
      if (!seats.length) throw new Error(phrase("console.seats.choose_first"));
      if (seats.length > SEATS_MAX) throw new Error(phrase("console.seats.too_many", { count: SEATS_MAX }));
      await call("POST", `${this.url}/seats/${what}`, { body: { seats, ...more } }).catch((problem) => {
        throw this.#inWords(problem);
      });
      this.map?.mine.clear();
      this.details.replaceChildren();
      await this.#load();
      this.#showChosen();
      return phrase(what === "block" ? "console.block.done" : "console.block.undone", { count: seats.length });
    };
    const block = button({ className: "primary" }, phrase("console.block"), () =>
      change("block", { owner: value(this.ownerField), reason: value(this.reasonField) }),
    );
    const unblock = button({}, phrase("console.unblock"), () => change("unblock", {}));
    return make(
      "section",
      { className: "card" },
      make("h2", {}, phrase("console.seats.chosen")),
      this.details,
      this.chosen,
      this.ownerField,
      this.reasonField,
      this.names,
      make("div", { className: "line" }, block, unblock),
    );
  }

  #listCard() {
    const links = ["csv", "xlsx"].map((format) => {
      const href = `${root}${this.url}/exports/blocks.${format}`;
      const kind = format.toUpperCase();
      return make(
        "a",
        { className: "button", href, download: "", ariaLabel: `${phrase("console.export.blocks")}, ${kind}` },
        kind,
      );
    });
    const choose = make("button", { type: "button" }, phrase("console.block.choose"));
    choose.addEventListener("click", () => {
      this.map?.mine.clear();
      for (const { seat } of this.blocks.seats) this.map?.mine.add(seat);
      this.map?.draw();
      this.#showChosen();
    });
    return make(
      "section",
      { className: "card blocks" },
      make("h2", {}, phrase("console.export.blocks")),
      make(
        "div",
        { className: "line" },
        make("label", {}, phrase("console.block.owner"), this.filter),
        choose,
        ...links,
      ),
      this.list,
    );
  }

  /** Says what there is to say of a seat, an area, or a section. @param {any} at @returns {string[]} */
  #parts(at) {
    if (at.section) return sectionParts(at.section);
    if (!at.id) return seatParts(at, this.layout, phrase("seats.free", { count: this.map?.free(at.area) }));
    const note = this.noteOf?.get(at.id);
    const chosen = this.map?.mine.has(at.id) ? [seatState("chosen")] : [];
    const why =
      note && at.state === BLOCKED
        ? [note.owner && phrase("console.block.for", { owner: note.owner }), note.reason]
        : [];
    return [...seatParts(at, this.layout, seatState(states[at.state])), ...why.filter(Boolean), ...chosen];
  }

  /** @param {any} seat */
  #choose(seat) {
    const { map } = this;
    if (!map) return;
    if (!map.mine.delete(seat.id)) map.mine.add(seat.id);
    map.draw();
    this.#showChosen();
    this.#showSeat(seat);
    say(this.#parts(seat).join(", "));
  }

  /** Shows all that is known of a seat. @param {any} seat */
  #showSeat(seat) {
    const [place, ...rest] = seatParts(seat, this.layout, seatState(states[seat.state]));
    const note = seat.state === BLOCKED ? this.noteOf?.get(seat.id) : null;
    const facts = [
      note?.owner && phrase("console.block.for_owner", { owner: note.owner }),
      note?.reason && phrase("console.block.because", { reason: note.reason }),
      note?.by && phrase("console.block.by", { name: note.by, time: new Date(note.at).toLocaleString(locale) }),
    ];
    this.details.replaceChildren(
      make("p", {}, make("strong", {}, place), ` ${rest.join(" · ")}`),
      ...facts.filter(Boolean).map((fact) => make("p", {}, fact)),
    );
  }

  /** Lets a number of places of an area be chosen: they are all alike. @param {any} area */
  #showArea(area) {
    const { map } = this;
    if (!map) return;
    const own = map.seats.slice(area.first, area.first + area.capacity);
    const quantity = field(phrase("console.how_many"), { type: "number", min: 1, max: area.capacity, value: 1 });
    const pick = (/** @type {number} */ state) => () => {
      const wanted = Number(quantity.querySelector("input")?.value);
      const free = own.filter((seat) => seat.state === state && !map.mine.has(seat.id));
      if (free.length < wanted) return say(phrase("console.only", { count: free.length }));
      // The last ones: fans get the first.
      for (const seat of free.slice(-wanted)) map.mine.add(seat.id);
      map.draw();
      this.#showChosen();
    };
    const buttons = [
      [phrase("console.choose.free"), AVAILABLE],
      [phrase("console.choose.blocked"), BLOCKED],
    ].map(([text, state]) => {
      const element = make("button", { type: "button" }, String(text));
      element.addEventListener("click", pick(Number(state)));
      return element;
    });
    const blocked = own.filter((seat) => seat.state === BLOCKED).length;
    const words = ` ${phrase("console.area", { free: map.free(area), blocked })}`;
    this.details.replaceChildren(
      make("p", {}, make("strong", {}, area.name), words),
      make("div", { className: "line" }, quantity, ...buttons),
    );
    quantity.querySelector("input")?.focus();
  }

  #showChosen() {
    const seats = [...(this.map?.mine ?? [])].map((id) => this.map?.byId.get(id)).filter(Boolean);
    const none = make("p", { className: "soft" }, phrase("console.seats.nothing"));
    const clear = make("button", { type: "button", className: "quiet" }, phrase("console.choose.none"));
    clear.addEventListener("click", () => {
      this.map?.mine.clear();
      this.map?.draw();
      this.details.replaceChildren();
      this.#showChosen();
    });
    const names = seats.slice(0, NAMED_MAX).map(placeOf);
    const more = seats.length - NAMED_MAX;
    const list = names.join("; ");
    const all = more > 0 ? phrase("console.and_more", { list, count: more }) : list;
    const text = `${count(seats.length)}: ${all}.`;
    this.chosen.replaceChildren(...(seats.length ? [make("p", {}, text), clear] : [none]));
  }

  /** The states of seats changed: those that are not blocked any more lose their notes. */
  #changed() {
    const { map } = this;
    if (!map) return;
    map.marked = new Set(map.seats.filter((seat) => seat.state === BLOCKED).map((seat) => seat.id));
    map.changed();
  }

  async #load() {
    const query = this.owner === null ? "" : `?owner=${encodeURIComponent(this.owner)}`;
    const [blocks, all] = await Promise.all([
      call("GET", `${this.url}/seats/blocks${query}`),
      query ? call("GET", `${this.url}/seats/blocks`) : null,
    ]);
    this.blocks = blocks;
    this.#showBlocks(all ?? blocks);
  }

  /** @param {any} [all] the blocks of all owners */
  #showBlocks(all = this.blocks) {
    this.noteOf = new Map(all.seats.map((/** @type {any} */ one) => [one.seat, one]));
    const { owners, seats, more } = this.blocks;
    const named = owners.filter((/** @type {any} */ one) => one.owner);
    this.names.replaceChildren(...named.map((/** @type {any} */ one) => make("option", { value: one.owner })));
    const options = owners.map((/** @type {any} */ one) => {
      const text = `${one.owner ?? phrase("console.block.no_one")} (${count(one.seats)})`;
      return make("option", { value: one.owner ?? "" }, text);
    });
    this.filter.replaceChildren(make("option", { value: "*" }, phrase("console.block.all")), ...options);
    this.filter.value = this.owner ?? "*";
    const columns = ["seat", "category", "owner", "reason", "name", "time"];
    const headings = columns.map((name) => phrase(`console.block.column.${name}`));
    const rows = table(headings, seats, (one) =>
      [one.label, one.category, one.owner ?? "", one.reason ?? "", one.by ?? ""]
        .map((text) => make("td", {}, text))
        .concat(make("td", {}, one.at ? new Date(one.at).toLocaleString(locale) : "")),
    );
    const region = { className: "scroll", tabIndex: 0, role: "region", "aria-label": phrase("console.export.blocks") };
    const none = make("p", { className: "soft" }, phrase("console.none"));
    const rest = more ? [make("p", { className: "soft" }, phrase("console.block.more", { count: more }))] : [];
    this.list.replaceChildren(...(seats.length ? [make("div", region, rows), ...rest] : [none]));
  }

  /** A refusal with the places of the seats that it is about. @param {any} problem */
  #inWords(problem) {
    const { taken } = problem.body ?? {};
    if (!taken) return problem;
    const places = taken.map((/** @type {string} */ id) => {
      const seat = this.map?.byId.get(id);
      return seat ? placeOf(seat) : id;
    });
    const words = phrase("console.block.taken", { places: places.join("; ") });
    return Object.assign(new Error(words), { status: problem.status });
  }
}
