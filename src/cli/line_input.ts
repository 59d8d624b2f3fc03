/**
 * Lines of standard input, with editing and a history on a terminal.
 *
 * @module
 */

import { createInterface, type Interface } from "node:readline";
import process from "node:process";

/** Reads lines; those that come before they are asked for wait. */
export class LineInput {
  #interface: Interface | null = null;
  #lines: string[] = [];
  #waiting: ((line: string | null) => void) | null = null;
  #closed = false;

  /** @param onInterrupt Is called at Ctrl-C; false where nobody takes it, which ends the input. */
  constructor(readonly onInterrupt: () => boolean) {}

  /** Asks for a line; null at the end of the input, or for Ctrl-C that nobody else takes. */
  read(prompt: string): Promise<string | null> {
    const input = this.#open();
    const line = this.#lines.shift();
    if (line !== undefined) return Promise.resolve(line);
    if (this.#closed) return Promise.resolve(null);
    if (Deno.stdin.isTerminal()) {
      input.setPrompt(prompt);
      input.prompt();
    }
    return new Promise((resolve) => this.#waiting = resolve);
  }

  #open(): Interface {
    if (this.#interface) return this.#interface;
    const terminal = Deno.stdin.isTerminal();
    const input = createInterface({ input: process.stdin, output: process.stderr, terminal });
    input.on("line", (line) => this.#take(line));
    input.on("close", () => {
      this.#closed = true;
      this.#take(null);
    });
    // With line editing the terminal sends Ctrl-C as a key.
    input.on("SIGINT", () => {
      if (!this.onInterrupt()) input.close();
    });
    // A terminal that was left raw would show nothing that is typed.
    globalThis.addEventListener("unload", () => input.close());
    return this.#interface = input;
  }

  #take(line: string | null): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    if (waiting) waiting(line);
    else if (line !== null) this.#lines.push(line);
  }
}
