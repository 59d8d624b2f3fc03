/** How the native tokenizer library is started; what it encodes is tested in tokenizer_engines_test.ts. */

import { assert, assertEquals } from "@std/assert";
import { nativeTokenizer } from "../../src/io/native_tokenizer.ts";

const MODULE = new URL("../../src/io/native_tokenizer.ts", import.meta.url).href;
const EMPTY = { version: "1.0", model: { type: "WordLevel", vocab: {}, unk_token: "" } };
const hasNative = typeof await nativeTokenizer(EMPTY) !== "string";

const LEAST = [
  "--allow-read",
  "--allow-ffi",
  "--allow-env=NAPI_RS_NATIVE_LIBRARY_PATH,NAPI_RS_FORCE_WASI",
];
/** What it takes to count threads, too. */
const ALL = ["--allow-all"];

/** What a process tells that has loaded the library. */
interface Told {
  /** Variables that were set. */
  set: string[];
  ids: number[][];
  /** RAYON_NUM_THREADS afterwards. */
  left: string | null;
  /** Threads that were begun; 0 where they cannot be counted. */
  begun: number;
}

/** Loads the library in a process that believes in so many cores. */
async function started(
  cores: number,
  flags: string[],
  env: Record<string, string> = {},
): Promise<Told> {
  const counts = flags === ALL && Deno.build.os === "linux";
  const code = `
    Object.defineProperty(navigator, "hardwareConcurrency", { value: ${cores} });
    const threads = () => ${counts} ? [...Deno.readDirSync("/proc/self/task")].length : 0;
    const before = threads();
    const set = [];
    const setVariable = Deno.env.set.bind(Deno.env);
    Deno.env.set = (name, value) => { set.push(name + "=" + value); setVariable(name, value); };
    const { nativeTokenizer } = await import(${JSON.stringify(MODULE)});
    const native = await nativeTokenizer(${JSON.stringify(EMPTY)});
    const ids = await native.encodeBatch(["", ""], false);
    const left = ${flags === ALL} ? Deno.env.get("RAYON_NUM_THREADS") ?? null : null;
    console.log(JSON.stringify({ set, ids, left, begun: threads() - before }));
  `;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--ext=ts", ...flags, "-"],
    env,
    cwd: new URL("../..", import.meta.url),
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const input = child.stdin.getWriter();
  await input.write(new TextEncoder().encode(code));
  await input.close();
  const { stdout, stderr, success } = await child.output();
  assert(success, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

const ids = [[], []];

Deno.test({
  name: "the native library starts no more than eight threads, and no other program is told so",
  ignore: !hasNative,
  async fn() {
    const many = await started(64, ALL);
    assertEquals(many.set, ["RAYON_NUM_THREADS=8"]);
    assertEquals([many.ids, many.left], [ids, null]);
    // As many as it was told, whatever the cores of this machine: so it has read the variable.
    if (Deno.build.os === "linux") assert(many.begun >= 8, `${many.begun} threads`);
  },
});

Deno.test({
  name: "its threads are left alone on few cores, and where the user has set their number",
  ignore: !hasNative,
  async fn() {
    const few = await started(8, ALL);
    assertEquals([few.set, few.ids, few.left], [[], ids, null]);
    const given = await started(64, ALL, { RAYON_NUM_THREADS: "3" });
    assertEquals([given.set, given.ids, given.left], [[], ids, "3"]);
  },
});

Deno.test({
  name: "without the permission to say how many, it starts as it will, and nothing is asked",
  ignore: !hasNative,
  async fn() {
    const bare = await started(64, LEAST);
    assertEquals([bare.set, bare.ids], [[], ids]);
  },
});
