/** Command lines in processes of their own. */

import { join } from "node:path";
import { writeTinyModel } from "./tiny_model.ts";

const CLI = new URL("../../cli.ts", import.meta.url).pathname;

/** Starts a command line in a process of its own. */
export function start(
  args: string[],
  { permissions = ["-A"], env = {} }: { permissions?: string[]; env?: Record<string, string> } = {},
): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", ...permissions, CLI, ...args],
    env,
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Gathers a stream; calls `seen` with all of it whenever there is more. */
export async function gather(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  seen: (text: string) => void = () => {},
): Promise<string> {
  let text = "";
  for await (const piece of stream.pipeThrough(new TextDecoderStream())) seen(text += piece);
  return text;
}

/** A run that would not end, with the flags that it has without being told. */
export async function startRun(
  folder: string,
  output: string,
  more: string[],
  options?: Parameters<typeof start>[1],
): Promise<Deno.ChildProcess> {
  await writeTinyModel(folder);
  const data = join(folder, "data.jsonl");
  await Deno.writeTextFile(data, '{"text": "abcdefghijkl"}\n'.repeat(10));
  const line = `train --model ${folder} --data ${data} --output-dir ${output} --method full ` +
    "--steps 1000000 --batch-size 1 --sequence-length 16 --log-every 5";
  return start([...line.split(" "), ...more], options);
}

/** Sends signals to a run at its fifth step, and waits for its end. */
export async function signalled(
  child: Deno.ChildProcess,
  ...signals: Deno.Signal[]
): Promise<{ err: string; code: number }> {
  let sent = false;
  const [, err, { code }] = await Promise.all([
    gather(child.stdout),
    gather(child.stderr, (text) => {
      if (sent || !text.includes("step 5/")) return;
      sent = true;
      for (const signal of signals) child.kill(signal);
    }),
    child.status,
  ]);
  return { err, code };
}
