/**
 * Dates in the form that chat templates ask for, by `strftime_now`.
 *
 * @module
 */

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
