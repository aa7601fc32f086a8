// What a component is derived from: things under names, with numbers of their own.

export enum Kept {
  Never,
  Always,
}

export abstract class Registry<T extends object> {
  static readonly EMPTY: ReadonlyMap<number, never> = new Map<number, never>();
  protected readonly tables = new Map<string, Map<number, T>>();
  readonly #ids = new WeakMap<T, number>();
  #next = 0;

  protected constructor(protected readonly kept: Kept = Kept.Never) {}

  protected abstract accepts(thing: T): boolean;

  protected id(thing: T): number {
    const known = this.#ids.get(thing) ?? ++this.#next;
    this.#ids.set(thing, known);
    return known;
  }

  get names(): IterableIterator<string> {
    return this.tables.keys();
  }

  protected add(name: string, thing: T, table = this.tables.get(name) ?? new Map<number, T>()): void {
    if (this.accepts(thing)) this.tables.set(name, table.set(this.id(thing), thing));
  }

  protected remove(name: string, thing: T): void {
    const table = this.tables.get(name);
    if (table?.delete(this.id(thing)) && table.size === 0 && this.kept === Kept.Never) this.tables.delete(name);
  }

  protected *under(name: string): Generator<T, void, undefined> {
    for (const thing of this.tables.get(name)?.values() ?? Registry.EMPTY.values()) yield thing;
  }
}
