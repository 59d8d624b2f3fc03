/**
 * Refusals and hashes as a hub gives them.
 *
 * @module
 */

import { createHash } from "node:crypto";

/** A refusal, with the code that tells its reason. */
export function refuse(status: number, code: string, message: string): Response {
  const headers: HeadersInit = code === ""
    ? {}
    : { "X-Error-Code": code, "X-Error-Message": message };
  return Response.json({ error: message }, { status, headers });
}

/** Text in UTF-8. */
export function toBytes(content: Uint8Array<ArrayBuffer> | string): Uint8Array<ArrayBuffer> {
  return typeof content === "string" ? new TextEncoder().encode(content) : content;
}

/** A hash in hexadecimal. */
export function sha(algorithm: "sha1" | "sha256", ...parts: Uint8Array[]): string {
  const hash = createHash(algorithm);
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}
