import { main } from "../../src/cli/main.ts";
import {
  INTERRUPTED,
  type Terminal,
  type TerminalInput,
  writersOf,
} from "../../src/cli/terminal.ts";

/** A terminal that keeps what is written to it. */
export class TestTerminal implements Terminal {
  columns: number | null;
  readonly input: TerminalInput;
  stdout: Terminal["stdout"];
  stderr: Terminal["stderr"];
  generated: Terminal["generated"];
  draw: Terminal["draw"];
  out = "";
  err = "";
  #interrupts: (() => void)[] = [];

  /**
   * @param columns Width, for a terminal that shows a progress bar.
   * @param input Standard input.
   * @param isTerminal Whether stdout is a terminal, which shows colours.
   */
  constructor(columns: number | null = null, input = "", isTerminal = false) {
    this.columns = columns;
    const writers = writersOf({
      stdout: (text) => this.out += text,
      stderr: (text) => this.err += text,
      isTerminal,
      isStyled: isTerminal,
    });
    ({ stdout: this.stdout, stderr: this.stderr } = writers);
    ({ generated: this.generated, draw: this.draw } = writers);
    let rest = input;
    this.input = {
      readLine() {
        if (rest === "") return Promise.resolve(null);
        const [line] = rest.split("\n", 1);
        rest = rest.slice(line.length + 1);
        return Promise.resolve(line);
      },
      readAll() {
        const all = rest;
        rest = "";
        return Promise.resolve(all);
      },
    };
  }

  onInterrupt(handler: () => void): Disposable {
    this.#interrupts.push(handler);
    return { [Symbol.dispose]: () => this.#interrupts.pop() };
  }

  onStop(handler: (code: number) => void): Disposable {
    return this.onInterrupt(() => handler(INTERRUPTED));
  }

  /** Presses Ctrl-C. */
  interrupt(): void {
    for (const handler of this.#interrupts) handler();
  }
}

/** What a command line left behind. */
export interface CommandResult {
  code: number;
  out: string;
  err: string;
}

/** Runs a command line in this process; spaces in `line` separate words, further words follow as they are. */
export async function runCommand(line: string, ...more: string[]): Promise<CommandResult> {
  const terminal = new TestTerminal();
  const code = await main([...line.split(" "), ...more], terminal);
  return { code, out: terminal.out, err: terminal.err };
}
