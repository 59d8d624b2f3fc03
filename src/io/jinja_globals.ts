/**
 * What every chat template may name: the constants and functions that transformers gives it.
 *
 * @module
 */

/** The values by their names. */
export const GLOBALS: Record<string, unknown> = {
  false: false,
  true: true,
  none: null,
  False: false,
  True: true,
  None: null,
  raise_exception: (message: string) => {
    throw new Error(message);
  },
  range: (...bounds: number[]) => {
    const [start, stop, step] = bounds.length === 1 ? [0, bounds[0], 1] : [...bounds, 1];
    if (step === 0) throw new Error("range() arg 3 must not be zero");
    const length = Math.max(0, Math.ceil((stop - start) / step));
    return Array.from({ length }, (_, i) => start + i * step);
  },
  strftime_now: (format: string) => strftime(new Date(), format),
};

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
