/**
 * A line at the foot of a terminal that says what is going on: drawn again and again, so that it
 * counts, and stays where something else clears it. Deno clears the line whenever a Worker starts.
 *
 * @module
 */

import { printable } from "../printable.ts";
import type { Terminal } from "./terminal.ts";

/** Milliseconds between two pictures. */
const INTERVAL = 250;
/** Escape sequence: what is right of the cursor and below goes. */
const CLEAR_BELOW = "\x1b[J";

/** Makes the text of a line that has so many columns. */
export type StatusText = (columns: number) => string;

/** The line. Where stderr is no terminal nothing is shown. */
export class StatusLine implements Disposable {
  /** The terminal to write to while the line is there: what is written comes above it. */
  readonly terminal: Terminal;
  readonly #terminal: Terminal;
  #text: StatusText | null = null;
  #drawn = "";
  #timer: ReturnType<typeof setInterval> | undefined;

  /** A line that is not there yet. */
  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    const above =
      (write: (text: string, marked?: boolean) => void) => (text: string, marked?: boolean) => {
        this.#erase();
        write(text, marked);
        if (text.endsWith("\n")) this.draw();
      };
    const own: Record<PropertyKey, unknown> = {
      stdout: above((text, marked) => terminal.stdout(text, marked)),
      stderr: above((text) => terminal.stderr(text)),
    };
    this.terminal = new Proxy(terminal, {
      get(target, key) {
        if (Object.hasOwn(own, key)) return own[key];
        const value = Reflect.get(target, key, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }

  /** Shows a text, made anew for each picture, in place of the one before; null shows nothing. */
  show(text: StatusText | null): void {
    if (this.#terminal.columns === null) return;
    this.#text = text;
    if (text === null) this.#erase();
    else this.draw();
    if (text !== null && this.#timer === undefined) {
      const timer = setInterval(() => this.draw(), INTERVAL);
      Deno.unrefTimer(timer);
      this.#timer = timer;
    }
  }

  /** Shows a phase of the work and how long it has taken. */
  phase(name: string, detail: () => string = () => ""): void {
    const begun = performance.now();
    this.show(() => {
      const seconds = Math.floor((performance.now() - begun) / 1000);
      return `${name}${detail()}${seconds > 0 ? ` ${seconds}s` : ""}`;
    });
  }

  /** Draws the line as it is now. */
  draw(): void {
    const { columns } = this.#terminal;
    if (this.#text === null || columns === null) return;
    // The last column stays free: writing there makes some terminals begin a new line.
    const text = printable(this.#text(columns - 1)).slice(0, columns - 1);
    this.#terminal.draw(this.#toStart(columns), text);
    this.#drawn = text;
  }

  /** Leaves the line as it is now where it is. */
  keep(): void {
    this.draw();
    if (this.#drawn !== "") this.#terminal.stderr("\n");
    this.#drawn = "";
    this.#text = null;
  }

  /** Takes the line away. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#erase();
    this.#text = null;
  }

  #erase(): void {
    const { columns } = this.#terminal;
    if (this.#drawn === "" || columns === null) return;
    this.#terminal.draw(this.#toStart(columns), "");
    this.#drawn = "";
  }

  /** To where the line begins: a terminal that has become narrower has broken it into several. */
  #toStart(columns: number): string {
    const broken = Math.ceil(this.#drawn.length / columns) - 1;
    return broken > 0 ? `\x1b[${broken}A\r${CLEAR_BELOW}` : "\r";
  }
}
