/**
 * What another keeper would need to go on: of each generation whose calls are answered its filter and duplicates of all that its
 * keeper has. They are hupwatch's own, so a keeper that is killed takes nothing with it.
 */
import { fstatSync } from "node:fs";
import { close, dup } from "../os/libc.ts";
import type { HandedListener } from "./protocol.ts";

export interface HeldCharge {
  generation: number;
  notify: number;
  listeners: readonly HandedListener[];
  /** Duplicates of its listeners, in their order, and then of what else stays open. */
  fds: readonly number[];
  learns: { backlog: number } | undefined;
}

export class HeldCharges implements Disposable {
  readonly #of = new Map<number, HeldCharge>();

  has(generation: number): boolean {
    return this.#of.has(generation);
  }

  all(): HeldCharge[] {
    return [...this.#of.values()];
  }

  /** Its descriptors become ours. */
  add(charge: HeldCharge): void {
    this.#of.set(charge.generation, charge);
  }

  /** More listeners, and others that stay open with them; the descriptors become ours. */
  extend(
    generation: number,
    listeners: readonly HandedListener[],
    { fds, others = [] }: { fds: readonly number[]; others?: readonly number[] },
  ): void {
    const charge = this.#of.get(generation);
    if (!charge) return;
    this.add({
      ...charge,
      listeners: [...listeners, ...charge.listeners],
      fds: [...fds, ...charge.fds, ...others],
    });
  }

  /** By their sockets' numbers in /proc. */
  forget(generation: number, inodes: readonly number[]): void {
    const charge = this.#of.get(generation);
    if (!charge) return;
    const isForgotten = charge.fds.map((fd) => inodes.includes(fstatSync(fd).ino));
    const isKept = (_: unknown, i: number) => isForgotten[i] !== true;
    for (const fd of charge.fds.filter((_, i) => isForgotten[i])) close(fd);
    this.add({ ...charge, listeners: charge.listeners.filter(isKept), fds: charge.fds.filter(isKept) });
  }

  /** A duplicate of that socket, by its number in /proc; the caller's to close. */
  duplicateOf(inode: number): number | undefined {
    const known = this.all()
      .flatMap(({ fds }) => fds)
      .find((fd) => fstatSync(fd).ino === inode);
    return known === undefined ? undefined : dup(known);
  }

  release(generation: number): void {
    const charge = this.#of.get(generation);
    this.#of.delete(generation);
    for (const fd of charge ? [charge.notify, ...charge.fds] : []) close(fd);
  }

  [Symbol.dispose](): void {
    for (const generation of [...this.#of.keys()]) this.release(generation);
  }
}

/** All or none. Throws SystemError. */
export function duplicates(fds: readonly number[]): number[] {
  const copies: number[] = [];
  try {
    for (const fd of fds) copies.push(dup(fd));
    return copies;
  } catch (error) {
    for (const fd of copies) close(fd);
    throw error;
  }
}
