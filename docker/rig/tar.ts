/** A build context as Docker reads it from its standard input. */
export async function tarOf(files: Record<string, string | Blob>): Promise<Blob> {
  const plain = Object.entries(files).map(async ([name, body]) => [
    name,
    typeof body === "string" ? body : await body.arrayBuffer(),
  ]);
  return new Bun.Archive(Object.fromEntries(await Promise.all(plain))).blob();
}
