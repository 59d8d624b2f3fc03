/**
 * The types of `parseArgs`, as far as this project uses it: deno-std has none.
 *
 * @module
 */

/** What the parser is told of a command line. */
export interface ParseOptions<Switch extends string, Valued extends string, Defaults> {
  /** Flags without a value. */
  boolean?: readonly Switch[];
  /** Flags whose value stays text; `_` for the words that belong to no flag. */
  string?: readonly Valued[];
  /** Flags that `--no-NAME` turns off. */
  negatable?: readonly Switch[];
  /** Flags that may be given several times: their value is the list of what was given. */
  collect?: readonly string[];
  /** Other names of a flag. */
  alias?: Readonly<Record<string, string>>;
  /** Values of flags that are not given. */
  default?: Defaults;
  /** Called for what belongs to no flag: with its key where it looks like one. False leaves it out. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** The flags that were given, with defaults for the others, and the words that belong to none. */
export type Args<Switch extends string, Valued extends string, Defaults> =
  & { [K in Switch]: boolean | Default<Defaults, K, false> }
  & { [K in Exclude<Valued, "_">]: string | Default<Defaults, K, undefined> }
  & { _: (string | number)[] };

/** The default of a flag, or what the parser gives without one. */
type Default<Defaults, Name, Otherwise> = Name extends keyof Defaults ? Defaults[Name] : Otherwise;

/** Reads a command line: `--name value`, `--name=value`, `--switch`, `--no-switch`. */
export function parseArgs<
  const Switch extends string = never,
  const Valued extends string = never,
  Defaults extends object = Record<never, never>,
>(
  args: string[],
  options?: ParseOptions<Switch, Valued, Defaults>,
): Args<Switch, Valued, Defaults>;
