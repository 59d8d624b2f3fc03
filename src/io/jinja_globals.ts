/**
 * What every chat template may name: the constants and functions that transformers gives it.
 *
 * @module
 */

import { type Budget, BudgetError } from "./jinja_budget.ts";

/** The values by their names. What the functions make is counted. */
export const globals = (budget: Budget): Record<string, unknown> => ({
  false: false,
  true: true,
  none: null,
  False: false,
  True: true,
  None: null,
  raise_exception: (message: unknown) => {
    if (typeof message !== "string") throw new Error("raise_exception() takes a text");
    throw new Error(message);
  },
  range: (...bounds: unknown[]) => {
    if (!isWhole(bounds) || bounds.length < 1 || bounds.length > 3) {
      throw new Error("range() takes one to three whole numbers");
    }
    const [start, stop, step] = bounds.length === 1 ? [0, bounds[0], 1] : [...bounds, 1];
    if (step === 0) throw new Error("range() arg 3 must not be zero");
    const length = Math.max(0, Math.ceil((stop - start) / step));
    if (length > LONGEST_RANGE) {
      throw new BudgetError(
        `it asks for a range of ${length} numbers, and ${LONGEST_RANGE} are the most, as in transformers`,
      );
    }
    budget.spend(NUMBER_STEPS * length);
    return Array.from({ length }, (_, i) => start + i * step);
  },
  strftime_now: (format: unknown) => strftime(new Date(), formatOf(format)),
});

/** `strftime_now` on another day than today, such as `2026-11-28`. */
export function dateTeller(day: string): (format: unknown) => string {
  const [year, month, date] = day.split("-").map(Number);
  return (format) => strftime(new Date(year, month - 1, date), formatOf(format));
}

/** Today, as {@linkcode dateTeller} takes it. */
export function today(): string {
  return strftime(new Date(), "%Y-%m-%d");
}

function formatOf(format: unknown): string {
  if (typeof format === "string" && format.length <= 1000) return format;
  throw new Error("strftime_now() takes a text of up to 1000 characters");
}

/** Steps for a number of a range, with the value that holds it. */
const NUMBER_STEPS = 4;

/** The longest range: that of Jinja's sandbox, in which transformers renders. */
const LONGEST_RANGE = 100_000;

function isWhole(bounds: unknown[]): bounds is number[] {
  return bounds.every((bound) => Number.isSafeInteger(bound));
}

const MONTHS =
  "January February March April May June July August September October November December"
    .split(" ");
const DAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split(" ");

/**
 * A date in C's `strftime` form, in English and local time.
 *
 * @throws {Error} for a directive that is not known.
 */
export function strftime(date: Date, format: string): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const directives: Record<string, () => string> = {
    Y: () => String(date.getFullYear()),
    y: () => two(date.getFullYear() % 100),
    m: () => two(date.getMonth() + 1),
    d: () => two(date.getDate()),
    e: () => String(date.getDate()).padStart(2, " "),
    B: () => MONTHS[date.getMonth()],
    b: () => MONTHS[date.getMonth()].slice(0, 3),
    A: () => DAYS[date.getDay()],
    a: () => DAYS[date.getDay()].slice(0, 3),
    H: () => two(date.getHours()),
    I: () => two((date.getHours() + 11) % 12 + 1),
    M: () => two(date.getMinutes()),
    S: () => two(date.getSeconds()),
    p: () => date.getHours() < 12 ? "AM" : "PM",
    "%": () => "%",
  };
  return format.replace(/%(-?)(.)/gs, (all, plain, name) => {
    const value = directives[name]?.();
    if (value === undefined) throw new Error(`strftime_now() does not know ${all}`);
    return plain ? value.replace(/^0+(?=.)/, "") : value;
  });
}
