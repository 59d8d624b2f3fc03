/**
 * Copies rows of codes between matrices, whatever the layout of their format.
 *
 * @module
 */

import { layoutOf, type Matrix, PANEL, rowsOf } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";

/** Rows of a matrix of codes, from `first` on. */
export interface CodeRows {
  codes: Matrix;
  first: number;
}

/**
 * Records `to[to.first + r] = from[from.first + r]` for `rows` rows of codes of one format.
 *
 * @throws {RangeError} for matrices of different widths or formats, or without these rows.
 */
export function copyCodes(program: Program, from: CodeRows, to: CodeRows, rows: number): void {
  const inside = [from, to].every(({ codes, first }) => first + rows <= codes.rows);
  const { type, pitch } = from.codes;
  if (!inside || to.codes.type !== type || to.codes.pitch !== pitch) {
    throw new RangeError(
      `Cannot copy ${rows} rows of ${type} codes from row ${from.first} of ` +
        `${from.codes.rows}×${from.codes.cols} to row ${to.first} of ` +
        `${to.codes.rows}×${to.codes.cols} in ${to.codes.type}`,
    );
  }
  if (layoutOf(type) === "rows") {
    program.copy(rowsOf(from.codes, from.first, rows), rowsOf(to.codes, to.first, rows));
    return;
  }
  record(
    program,
    { source: from.codes, fromWords: pitch / 4, from: "panels" },
    from.first,
    to,
    rows,
  );
}

/**
 * Records writing row-major codes into panels.
 *
 * @param source u32 [rows, words]: four codes each, as many words per row as `pitch / 4` says.
 */
export function placeCodes(
  program: Program,
  source: Matrix,
  to: CodeRows,
): void {
  record(program, { source, fromWords: source.pitch, from: "rows" }, 0, to, source.rows);
}

function record(
  program: Program,
  { source, fromWords, from }: { source: Matrix; fromWords: number; from: "rows" | "panels" },
  fromRow: number,
  to: CodeRows,
  rows: number,
): void {
  const words = to.codes.pitch / 4;
  program.dispatch(
    program.device.kernel("copy_codes", { FROM: from }),
    { source, target_codes: to.codes },
    { rows, words, from_words: fromWords, from_row: fromRow, to_row: to.first },
    linearGrid(rows * words, 64),
  );
}

/** The host's copy of a matrix in panels as packed rows: rows `first` to `first + rows`. */
export function rowsFromPanels(
  panels: Uint8Array<ArrayBuffer>,
  { cols, pitch }: Matrix,
  first: number,
  rows: number,
): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(rows * cols);
  for (let r = 0; r < rows; r++) {
    const row = first + r;
    const panelRow = Math.floor(row / PANEL.rows) * (pitch / PANEL.cols);
    for (let c = 0; c < cols; c += PANEL.cols) {
      const panel = (panelRow + c / PANEL.cols) * PANEL.rows * PANEL.cols;
      const at = panel + row % PANEL.rows * PANEL.cols;
      out.set(panels.subarray(at, at + Math.min(PANEL.cols, cols - c)), r * cols + c);
    }
  }
  return out;
}
