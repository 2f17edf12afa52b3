/**
 * Names of a socket's file that are not ours: hard links, and mounts of the file in this mount namespace or another one (a container's `-v
 * /run/app.sock:/run/app.sock`). A swap steers only the public path: clients that come by another name stay with the generation whose file
 * it is, and reach nothing when that is gone.
 */
import type { Stats } from "node:fs";
import { orWithout } from "../os/aid.ts";
import { type Mount, mountNamespaces, mountsOf } from "../os/mounts.ts";

/** Something is mounted on the path itself: link(2), rename(2) and unlink(2) fail with EBUSY. */
export const isMountPoint = (path: string): boolean => {
  try {
    return mountsOf("self").some(({ at }) => at === path);
  } catch {
    return false;
  }
};

/** Told in words, each once as long as it is there. */
export class OtherNames {
  #links = 0;
  readonly #mounts = new Set<string>();

  constructor(
    private readonly path: string,
    private readonly tell: (by: string) => void,
  ) {}

  /** `ours`: how many names of our own it has. Cheap. */
  lookAtLinks({ nlink }: Stats, ours: number): void {
    const others = Math.max(0, nlink - ours);
    if (others > this.#links)
      this.tell(`it has ${others === 1 ? "a hard link" : `${others} hard links`} elsewhere`);
    this.#links = others;
  }

  lookAtMounts(): void {
    const aid = {
      what: `looking for mounts of ${this.path}`,
      loss: "it is not known whether it is mounted elsewhere",
    };
    for (const mount of orWithout(aid, () => mountsOfFile(this.path), [])) {
      if (!this.#mounts.has(mount)) this.tell(mount);
      this.#mounts.add(mount);
    }
  }
}

/** Costs a look at every process. Throws what reading /proc gives. */
function mountsOfFile(path: string): string[] {
  const inside = insideOf(path, mountsOf("self"));
  if (!inside) return [];
  const isOfFile = ({ device, root }: Mount) =>
    device === inside.device && root.replace(/\/\/deleted$/, "") === inside.root;
  return mountNamespaces().flatMap((pid) =>
    orNone(() => mountsOf(pid))
      .filter(isOfFile)
      .map(({ at }) => `it is mounted at ${at} (as process ${pid} sees it)`),
  );
}

/** Which file of which file system a path is: the mount that it is below, the last one of several at one place. */
function insideOf(path: string, mounts: readonly Mount[]): { device: string; root: string } | undefined {
  const isBelow = ({ at }: Mount) => path.startsWith(at === "/" ? "/" : `${at}/`);
  const nearest = mounts
    .filter(isBelow)
    .reduce<Mount | undefined>(
      (best, one) => (best && best.at.length > one.at.length ? best : one),
      undefined,
    );
  if (!nearest) return undefined;
  const { device, root, at } = nearest;
  const rest = path.slice(at === "/" ? 0 : at.length);
  return { device, root: root === "/" ? rest : `${root}${rest}` };
}

/** Of a process that has ended meanwhile. */
function orNone<T>(look: () => T[]): T[] {
  try {
    return look();
  } catch {
    return [];
  }
}
