/**
 * The progress of a download or an upload: a bar on a terminal, a line at its beginning and end elsewhere.
 *
 * @module
 */

import { printable } from "../printable.ts";
import type { FetchProgress } from "../io/hub/snapshot.ts";
import { formatBytes, formatDuration } from "./format.ts";
import type { Terminal } from "./terminal.ts";

const BAR_WIDTH = 20;
/** Milliseconds between two pictures of the bar. */
const INTERVAL = 100;

/** Shows how a transfer is getting on. Nothing is shown where nothing has to be moved. */
export class DownloadBar implements Disposable {
  readonly #terminal: Terminal;
  readonly #what: string;
  #begun = 0;
  #first = 0;
  #shown = -Infinity;
  #last: FetchProgress | null = null;

  /**
   * Begins with nothing shown.
   *
   * @param what Names what is downloaded, or uploaded.
   * @param way Which of the two.
   */
  constructor(terminal: Terminal, what: string, readonly way: "down" | "up" = "down") {
    this.#terminal = terminal;
    this.#what = what;
  }

  /** Takes how far it is. */
  update(progress: FetchProgress): void {
    const now = performance.now();
    if (this.#last === null) {
      [this.#begun, this.#first] = [now, progress.bytes];
      if (this.#terminal.columns === null) {
        this.#terminal.stderr(`${this.way}loading ${this.#what}\n`);
      }
    }
    this.#last = progress;
    if (this.#terminal.columns === null || now - this.#shown < INTERVAL) return;
    this.#draw(now);
  }

  /** Ends the bar. */
  [Symbol.dispose](): void {
    if (this.#last === null) return;
    const seconds = (performance.now() - this.#begun) / 1000;
    const { bytes, totalBytes } = this.#last;
    if (this.#terminal.columns !== null) {
      this.#draw(performance.now());
      this.#terminal.stderr("\n");
    } else {
      const of = bytes < totalBytes ? ` of ${formatBytes(totalBytes)}` : "";
      this.#terminal.stderr(
        `${this.way}loaded ${formatBytes(bytes)}${of} in ${formatDuration(seconds)}\n`,
      );
    }
  }

  #draw(now: number): void {
    this.#shown = now;
    const { bytes, totalBytes } = this.#last!;
    const rate = (bytes - this.#first) / ((now - this.#begun) / 1000);
    const filled = totalBytes > 0 ? Math.floor(BAR_WIDTH * bytes / totalBytes) : BAR_WIDTH;
    const bar = "#".repeat(filled).padEnd(BAR_WIDTH, "-");
    const left = rate > 0 && bytes < totalBytes
      ? `, ${formatBytes(rate)}/s, ${formatDuration((totalBytes - bytes) / rate)} left`
      : "";
    // What matters first, as the right edge may cut it.
    const text = `[${bar}] ${formatBytes(bytes)} of ${
      formatBytes(totalBytes)
    }${left}  ${this.#what}`;
    this.#terminal.draw("\r", printable(text).slice(0, this.#terminal.columns!));
  }
}
