/**
 * Publishes the package on JSR, or checks whether JSR would accept it.
 *
 * `deno publish` refuses a package whose `"links"` lie inside its root. So this lays the package
 * out in a temporary folder, as `"publish"` of `deno.json` lists it, and publishes that:
 *
 * - for a dry run, with the links beside it, so that JSR need not be reachable;
 * - with `--real`, without links: `jsr:@std/*` are then the packages on JSR, as they will be for
 *   users.
 *
 * Run: `deno task publish [--real]`.
 *
 * @module
 */

import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** The fields of `deno.json` that matter here. */
interface Config {
  links: string[];
  publish: { include: string[] };
  [field: string]: unknown;
}

/** The files of the package, as paths relative to the root, in order. */
export function packageFiles(): string[] {
  return readConfig().publish.include.flatMap((path) => [...filesAt(path)]).sort();
}

/**
 * Copies the package to `folder/package`.
 *
 * @param withLinks Whether to keep `"links"`, copied to `folder/links`.
 * @returns The folder of the package.
 */
export function layOut(folder: string, withLinks: boolean): string {
  const root = join(folder, "package");
  for (const path of packageFiles()) copy(path, join(root, path));
  const { links, ...config } = readConfig();
  if (!withLinks) return write(root, config);
  for (const link of links) {
    for (const path of filesAt(link)) {
      copy(path, join(folder, "links", basename(link), relative(link, path)));
    }
  }
  return write(root, { ...config, links: links.map((link) => `../links/${basename(link)}`) });
}

function readConfig(): Config {
  return JSON.parse(Deno.readTextFileSync(join(ROOT, "deno.json")));
}

function write(root: string, config: Omit<Config, "links">): string {
  Deno.writeTextFileSync(join(root, "deno.json"), JSON.stringify(config, null, 2));
  return root;
}

/** A file, or every file below a folder. */
function* filesAt(path: string): Generator<string> {
  if (!Deno.statSync(join(ROOT, path)).isDirectory) return yield path;
  for (const { name } of Deno.readDirSync(join(ROOT, path))) yield* filesAt(join(path, name));
}

function copy(path: string, target: string): void {
  Deno.mkdirSync(dirname(target), { recursive: true });
  Deno.copyFileSync(join(ROOT, path), target);
}

/** Whether all that would be published is committed; `deno publish` cannot tell from the copy. */
async function isCommitted(): Promise<boolean> {
  const { success, stdout } = await new Deno.Command("git", {
    args: ["status", "--porcelain"],
    cwd: ROOT,
  }).output();
  return success && stdout.length === 0;
}

async function publish(real: boolean): Promise<number> {
  const folder = await Deno.makeTempDir();
  try {
    const args = ["publish", "--allow-dirty", ...(real ? [] : ["--dry-run"])];
    const cwd = layOut(folder, !real);
    return (await new Deno.Command(Deno.execPath(), { args, cwd }).spawn().status).code;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) {
  const [flag, ...rest] = Deno.args;
  if ((flag !== undefined && flag !== "--real") || rest.length > 0) {
    console.error(
      `Cannot publish with "${Deno.args.join(" ")}": give --real, or nothing for a dry run`,
    );
    Deno.exit(1);
  }
  const real = flag === "--real";
  if (real && !await isCommitted()) {
    console.error("Cannot publish as there are uncommitted changes: commit them first");
    Deno.exit(1);
  }
  Deno.exit(await publish(real));
}
