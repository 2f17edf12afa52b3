/** What one row of the rivals' table is made from: something that serves, how it is asked to reload, and what it runs in. */
import type { Place, Transport } from "../../setup/server-row.ts";

export interface Site extends Place {
  /** The hupwatch that is compared. */
  launcher: string;
  port: number;
}

export interface Rival {
  /** What does the reload. */
  name: string;
  /** What serves; rows of one server stand together. */
  server: string;
  isHupwatch?: boolean;
  /** As the first document calls it; those that have no such name are not quoted there. */
  quoted?: string;
  transport: Transport;
  /** What must be there: programs and files. */
  needs: readonly string[];
  /** Default: fresh connections, kept ones and POSTs; not those that the server has nothing for. */
  modes?: "fresh" | "fresh,keepalive";
  /** Files that it needs, for version 0. */
  prepare?(site: Site): void | Promise<void>;
  command(site: Site): string[];
  /** Variables of it. */
  env?(site: Site): Record<string, string>;
  /** Shell words; $ROOT is the process that is asked, $VERIFY_SWAP the version that is to serve. The file VERSION has it. */
  reload(site: Site): string;
  /** Where $ROOT is not the process of `command`: a file with its number. */
  rootFile?(site: Site): string;
  /** The memory of $ROOT is what the reload costs: it serves nothing by itself. */
  wraps?: boolean;
  /** A shell command that succeeds when the reload is over; default: the children that $ROOT had are gone. */
  over?(site: Site): string;
}

/** Without these the others would be compared in the reader's mind only. */
export interface NotHere {
  name: string;
  why: string;
}
