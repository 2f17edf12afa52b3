/** Imported `with { type: "text" }`: what goes into the page as it is, and into bundles and executables with the program. */
declare module "*.css" {
  const text: string;
  export default text;
}
declare module "*.js" {
  const text: string;
  export default text;
}
