/**
 * The types of the assertions that the tests use: deno-std has none. All throw an `AssertionError` that begins with `msg`
 * where they do not hold.
 *
 * @module
 */

/** Any class, also an abstract one. */
// deno-lint-ignore no-explicit-any
type Class<T> = abstract new (...args: any[]) => T;

/** That a value is truthy. */
export function assert(expr: unknown, msg?: string): asserts expr;

/** That two numbers differ by at most `tolerance`, by default a ten-millionth of the expected one. */
export function assertAlmostEquals(
  actual: number,
  expected: number,
  tolerance?: number,
  msg?: string,
): void;

/** That two values are equal in depth. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void;

/** That a value is an instance of a class. */
export function assertInstanceOf<T>(
  actual: unknown,
  expectedType: Class<T>,
  msg?: string,
): asserts actual is T;

/** That a text matches a pattern. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void;

/** That two values are not equal in depth. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void;

/** That a promise is rejected; resolves to what it is rejected with. */
export function assertRejects(fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown>;
/** That a promise is rejected with an error of a class, whose message holds a text. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: Class<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;

/** That a text holds another. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void;

/** That a function throws; returns what it throws. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** That a function throws an error of a class, whose message holds a text. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: Class<E>,
  msgIncludes?: string,
  msg?: string,
): E;
