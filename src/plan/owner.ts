/** `user`, `user:group`, `:group` by name or number. */
import { HupwatchError } from "../error.ts";
import { groupRow, isNumber, userRow } from "../os/accounts.ts";

export interface Owner {
  uid: number;
  gid: number;
}

/** chown(2)'s "leave it as it is". */
export const UNCHANGED = 0xffffffff;

/** A user without a group brings its own. Throws a usage error that names the value. */
export function ownerOf(text: string, option: string): Owner {
  const [user = "", group = ""] = text.split(":");
  const account = user === "" ? undefined : userRow(user);
  const gid = group === "" ? undefined : gidOf(group);
  if ((user !== "" && !account && !isNumber(user)) || (group !== "" && gid === undefined) || text === "")
    throw new HupwatchError("owner.unknown", `${option} '${text}': no such user or group`, {
      hint: "write USER, USER:GROUP or :GROUP, by name or number ('getent passwd' lists the names)",
    });
  const uid = account ? Number(account[2]) : isNumber(user) ? Number(user) : UNCHANGED;
  const ownGroup = account ? Number(account[3]) : UNCHANGED;
  return { uid, gid: gid ?? ownGroup };
}

/** By name or number. Throws a usage error that names the value. */
export function groupOf(text: string, option: string): number {
  const gid = gidOf(text);
  if (gid !== undefined) return gid;
  throw new HupwatchError("owner.unknown", `${option} '${text}': no such group`, {
    hint: "give its name or number ('getent group' lists the names)",
  });
}

function gidOf(group: string): number | undefined {
  const row = groupRow(group);
  if (row) return Number(row[2]);
  return isNumber(group) ? Number(group) : undefined;
}
