/**
 * Rows of data files, found in the simplest way: the whole file at once.
 *
 * @module
 */

/** A row: where it starts, and its text; null if that is no UTF-8. */
export interface OracleRow {
  line: number;
  text: string | null;
}

const SPACE = " \t\r\n";

/** Bytes as characters, one each, so that texts can be cut where bytes are. */
function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

function decoded(characters: string, ignoreBOM: boolean): string | null {
  const bytes = Uint8Array.from(characters, (character) => character.charCodeAt(0));
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM }).decode(bytes);
  } catch {
    return null;
  }
}

function isBlank(characters: string): boolean {
  return [...characters].every((character) => SPACE.includes(character));
}

/** The characters of a file without its byte-order mark. */
export function characters(bytes: Uint8Array): string {
  return latin1(bytes).replace(/^\xef\xbb\xbf/, "");
}

/** Pieces between separators, each from its first character that is no space. */
function piecesOf(
  pieces: readonly { at: number; piece: string }[],
  all: string,
  ignoreBOM: boolean,
): OracleRow[] {
  return pieces.filter(({ piece }) => !isBlank(piece)).map(({ at, piece }) => {
    const lead = [...piece].findIndex((character) => !SPACE.includes(character));
    const line = 1 + all.slice(0, at + lead).split("\n").length - 1;
    return { line, text: decoded(piece.slice(lead), ignoreBOM) };
  });
}

/** The lines of a file that are not blank, without marks of byte order before them. */
export function linesOf(bytes: Uint8Array): OracleRow[] {
  return separatedBy(bytes, "\n", false);
}

/** The texts between separators that are not blank. */
export function separatedBy(bytes: Uint8Array, separator: string, ignoreBOM = true): OracleRow[] {
  const all = characters(bytes);
  const mark = latin1(new TextEncoder().encode(separator));
  let at = 0;
  const pieces = all.split(mark).map((piece) => {
    const found = { at, piece };
    at += piece.length + mark.length;
    return found;
  });
  return piecesOf(pieces, all, ignoreBOM);
}

/** The texts between blank lines. */
export function paragraphsOf(bytes: Uint8Array): OracleRow[] {
  const all = characters(bytes);
  const rows: OracleRow[] = [];
  let text = "";
  let start = 0;
  let line = 0;
  const end = () => {
    rows.push(
      ...piecesOf([{ at: 0, piece: text }], text, true).map((row) => ({
        ...row,
        line: start + row.line,
      })),
    );
    text = "";
  };
  for (const one of all.split("\n")) {
    if (isBlank(one)) end();
    else {
      if (text === "") start = line;
      text += text === "" ? one : `\n${one}`;
    }
    line++;
  }
  end();
  return rows;
}
