/** Where the rig finds and puts things. */
import { resolve } from "node:path";

export const ROOT = resolve(import.meta.dir, "../..");

/** What the rig makes and may be thrown away at any time; git ignores it. */
export const CACHE = `${ROOT}/.cache/rig`;

/** In the containers: the application, its socket, and for some supervisors their logs. A volume. */
export const PLACE = "/srv/app";
