import type { Dataset } from "../../src/data/dataset.ts";
import type { Batch, Loader, LoaderPosition, RawRow, TokenEncoder } from "../../src/data/types.ts";

/**
 * A tokenizer in the manner of SentencePiece: a text gets a "▁" in front and
 * for each space, and every piece from one "▁" to the next is a token. Ids are
 * handed out as pieces are met: 0 pad, 1 bos, 2 eos.
 */
export class PieceEncoder implements TokenEncoder {
  readonly pieces: string[] = ["<pad>", "<s>", "</s>"];
  readonly bosTokenId: number | null = 1;
  readonly eosTokenId: number | null = 2;
  readonly padTokenId: number | null = 0;
  readonly chatTemplate: TokenEncoder["chatTemplate"] = null;
  readonly #ids: Map<string, number> = new Map(this.pieces.map((piece, id) => [piece, id]));
  calls = 0;

  encodeBatch(texts: readonly string[]): Promise<number[][]> {
    return Promise.resolve(texts.map((text) => this.encode(text)));
  }

  /** Begins a text with its bos, as LLaMA's tokenizer does. */
  around(ids: ArrayLike<number>): { before: number[]; after: number[] } {
    const adds = this.bosTokenId !== null && ids[0] !== this.bosTokenId;
    return { before: adds ? [this.bosTokenId!] : [], after: [] };
  }

  encode(text: string): number[] {
    this.calls++;
    if (text === "") return [];
    return `▁${text.replaceAll(" ", "▁")}`.match(/<s>|<\/s>|▁[^▁<]*|<[^▁<]*/g)!.map((piece) => {
      let id = this.#ids.get(piece);
      if (id === undefined) this.#ids.set(piece, id = this.pieces.push(piece) - 1);
      return id;
    });
  }

  decode(ids: ArrayLike<number>): string {
    return Array.from(ids, (id) => this.pieces[id]).join("|");
  }
}

/** Writes a file in a fresh folder, runs `use` with its path, and removes both. */
export async function withFile<T>(
  name: string,
  content: string | Uint8Array,
  use: (path: string) => Promise<T>,
): Promise<T> {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/${name}`;
    if (typeof content === "string") await Deno.writeTextFile(path, content);
    else await Deno.writeFile(path, content);
    return await use(path);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** All rows of a dataset. */
export async function rawRows(dataset: Dataset): Promise<RawRow[]> {
  return (await Array.fromAsync(dataset.rawRows())).flat();
}

/** All batches, or the first `limit`. */
export async function collect(
  loader: Loader,
  from?: LoaderPosition,
  limit = Infinity,
): Promise<Batch[]> {
  const batches: Batch[] = [];
  for await (const batch of loader.batches(from)) {
    batches.push(batch);
    if (batches.length >= limit) break;
  }
  return batches;
}

/** The documents of a batch as arrays of ids and targets, in order of rows; padding left out. */
export function documentsOf(batch: Batch): { ids: number[]; targets: number[] }[] {
  const documents: { ids: number[]; targets: number[] }[] = [];
  for (let start = 0; start < batch.inputIds.length; start = batch.documentEnd[start]) {
    const end = batch.documentEnd[start];
    if (end - start < 2) continue;
    documents.push({
      ids: [...batch.inputIds.subarray(start, end)],
      targets: [...batch.targets.subarray(start, end)],
    });
  }
  return documents;
}

/** All of a batch but the time it took, as one string that is quick to compare. */
export function fingerprint({ waitMs: _, ...batch }: Batch): string {
  return JSON.stringify(batch, (_, value) => ArrayBuffer.isView(value) ? String(value) : value);
}

/** `count` rows of ready-made ids, all different: `[10 * i + 3, 10 * i + 4, …]`. */
export function idRows(count: number, length: (i: number) => number = () => 4) {
  return Array.from({ length: count }, (_, i) => ({
    input_ids: Array.from({ length: length(i) }, (_, j) => 10 * i + 3 + j),
  }));
}
