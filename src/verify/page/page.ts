import type { VerifyReport } from "../report.ts";
export async function renderPage(_: VerifyReport): Promise<string> {
  return "";
}
