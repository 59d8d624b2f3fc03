/** `state.safetensors` of a checkpoint: it is restored as it was saved, or refused. */

import { join } from "node:path";
import { findCheckpoint, restoreCheckpoint } from "../../../src/train/checkpoint.ts";
import { dryNetwork, dryRun } from "../../support/dry_run.ts";
import { withoutSync } from "../../support/recorded_disk.ts";
import { mutateBytes } from "../frame/mutate_bytes.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";

export const target: FuzzTarget<Uint8Array> = {
  about: "state.safetensors of a checkpoint, restored",
  cost: "cheap",
  async prepare(folder) {
    const sync = withoutSync();
    await dryRun(folder, { steps: 6 });
    const path = join(folder, "checkpoint-6");
    const file = join(path, "state.safetensors");
    const [sound, older] = await Promise.all(
      [file, join(folder, "checkpoint-4/state.safetensors")].map((it) => Deno.readFile(it)),
    );
    const restore = async () => {
      const { network, view } = dryNetwork();
      await restoreCheckpoint(await findCheckpoint(path), network);
      return view.bytes.join();
    };
    const saved = await restore();
    return {
      make: (random) => mutateBytes(random, random.chance(0.9) ? [sound] : [sound, older]),
      async run(bytes) {
        await Deno.writeFile(file, bytes);
        if (await restore() !== saved) {
          throw new Nonsense("other values than were saved are restored");
        }
      },
      close: () => sync[Symbol.dispose](),
    };
  },
};
