/**
 * The Rust library `tokenizers` through its own Node bindings, the npm package of that name: what every
 * tokenizer.json is made for, and many times faster than JavaScript.
 *
 * The package is optional. It is pinned in deno.json and its lock, loaded when a tokenizer is, and
 * needs `--allow-ffi` and `--allow-env`. Where it does not load, nothing is asked and nothing fails.
 *
 * @module
 */

/** A tokenizer of the library. */
export interface NativeTokenizer {
  /** Ids of each text. */
  encodeBatch(texts: readonly string[], addSpecialTokens: boolean): Promise<number[][]>;
}

/** The part of the package that is used. */
interface Bindings {
  Tokenizer: {
    fromString(json: string): {
      encodeBatch(
        texts: readonly string[],
        options: { addSpecialTokens: boolean },
      ): Promise<{ getIds(): number[] }[]>;
      disableTruncation(): void;
      disablePadding(): void;
    };
  };
}

/** Variables that the package reads when it is loaded. */
const VARIABLES = ["NAPI_RS_NATIVE_LIBRARY_PATH", "NAPI_RS_FORCE_WASI"];

/**
 * Threads of the library, which by itself starts one per core. Each remembers up to 10,000 words for every
 * tokenizer, for good: on 64 cores that grew to 600 MiB. Eight feed a GPU several times over.
 */
const MOST_THREADS = 8;
/** The variable that says how many it starts, when it encodes first. */
const THREADS = "RAYON_NUM_THREADS";

/** A tokenizer.json without any token. */
const EMPTY = { version: "1.0", model: { type: "WordLevel", vocab: {}, unk_token: "" } };

let bindings: Promise<Bindings | string> | undefined;

/**
 * The library's tokenizer for the content of a `tokenizer.json`, or why there is none.
 *
 * What the file says about truncation and padding is for models that take one text; it is left out.
 */
export async function nativeTokenizer(json: unknown): Promise<NativeTokenizer | string> {
  bindings ??= load();
  const loaded = await bindings;
  if (typeof loaded === "string") return loaded;
  let tokenizer: ReturnType<Bindings["Tokenizer"]["fromString"]>;
  try {
    tokenizer = loaded.Tokenizer.fromString(JSON.stringify(json));
    tokenizer.disableTruncation();
    tokenizer.disablePadding();
  } catch (error) {
    return `the native library cannot read it (${reason(error)})`;
  }
  return {
    async encodeBatch(texts, addSpecialTokens) {
      const encodings = await tokenizer.encodeBatch(texts, { addSpecialTokens });
      return encodings.map((encoding) => encoding.getIds());
    },
  };
}

/** Never asks for a permission: not everyone is there to answer. */
async function load(): Promise<Bindings | string> {
  const granted = (query: Deno.PermissionDescriptor) =>
    Deno.permissions.querySync(query).state === "granted";
  if (!granted({ name: "ffi" })) return "the native library needs --allow-ffi";
  if (!VARIABLES.every((variable) => granted({ name: "env", variable }))) {
    return "the native library needs --allow-env";
  }
  try {
    const found = (await import("tokenizers")) as unknown as Bindings;
    await startThreads(found);
    return found;
  } catch (error) {
    return `the native library does not load (${reason(error)})`;
  }
}

/** Starts the library's threads: no more than it needs, unless the user has set their number or does not allow it. */
async function startThreads({ Tokenizer }: Bindings): Promise<void> {
  if (navigator.hardwareConcurrency <= MOST_THREADS) return;
  const { state } = Deno.permissions.querySync({ name: "env", variable: THREADS });
  if (state !== "granted" || Deno.env.get(THREADS) !== undefined) return;
  Deno.env.set(THREADS, `${MOST_THREADS}`);
  try {
    await Tokenizer.fromString(JSON.stringify(EMPTY)).encodeBatch([""], {
      addSpecialTokens: false,
    });
  } finally {
    Deno.env.delete(THREADS); // it is not for the programs that this one starts
  }
}

function reason(error: unknown): string {
  return String((error as Error)?.message ?? error).split("\n")[0].replace(/\.$/, "");
}
