/**
 * What computed a checkpoint: a run goes on bit for bit only on the same GPU, with the same driver, by the
 * same version of this package. Elsewhere it goes on too, with other roundings, which is said.
 *
 * @module
 */

import { createHash } from "node:crypto";
import packageConfig from "../../deno.json" with { type: "json" };
import type { Device } from "../gpu/device.ts";
import { kernelSources } from "../gpu/kernels.generated.ts";

/** What decides the roundings of a run beside its options. */
export interface MadeBy {
  /** Version of this package. */
  version: string;
  /** Beginning of the SHA-256 of its kernels, which tells apart what has no version of its own. */
  kernels: string;
  /** Name of the GPU. */
  gpu: string;
  /** The way to it. */
  provider: string;
}

/** What computes here. */
export function madeBy({ name, provider }: Pick<Device, "name" | "provider">): MadeBy {
  return { version: packageConfig.version, kernels: kernelsHash(), gpu: name, provider };
}

/**
 * What computes otherwise than until now, as a sentence; null where nothing does, or where nobody knows.
 */
export function otherMaker(before: Partial<MadeBy> | undefined, now: MadeBy): string | null {
  if (before === undefined) return null;
  const differs = (name: keyof MadeBy) => before[name] !== undefined && before[name] !== now[name];
  const parts = [
    ...differs("version") ? [`by version ${now.version} instead of ${before.version}`] : [],
    ...differs("kernels") && !differs("version") ? ["with other kernels of the same version"] : [],
    ...differs("gpu") || differs("provider")
      ? [`on ${now.gpu} (${now.provider}) instead of ${before.gpu} (${before.provider})`]
      : [],
  ];
  if (parts.length === 0) return null;
  return `the run goes on ${
    parts.join(" and ")
  }: its losses may differ in the last digits from those ` +
    "of a run that was not interrupted";
}

let hash: string | null = null;

function kernelsHash(): string {
  if (hash !== null) return hash;
  const sum = createHash("sha256");
  for (const [name, text] of Object.entries(kernelSources)) sum.update(`${name}\n${text}\n`);
  return hash = sum.digest("hex").slice(0, 16);
}
