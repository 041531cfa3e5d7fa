/** Retired classes that something still reaches, by service. */
export interface Gauge {
  readonly retired: number;
  readonly byService: Readonly<Record<string, number>>;
}

/**
 * Counts classes whose last call has ended and which are not garbage yet. After a collection that
 * should be none: what stays is held by user code, such as a `process.on` or a forgotten socket.
 */
export class LeakGauge {
  readonly #retired = new Map<string, Set<WeakRef<object>>>();
  readonly #collected = new FinalizationRegistry<{ service: string; ref: WeakRef<object> }>(
    ({ service, ref }) => this.#forget(service, ref),
  );

  watch(service: string, ServiceClass: object): void {
    const ref = new WeakRef(ServiceClass);
    const refs = this.#retired.get(service) ?? new Set();
    this.#retired.set(service, refs.add(ref));
    this.#collected.register(ServiceClass, { service, ref });
  }

  read(): Gauge {
    const byService: Record<string, number> = {};
    let retired = 0;
    for (const [service, refs] of this.#retired) {
      byService[service] = refs.size;
      retired += refs.size;
    }
    return { retired, byService };
  }

  #forget(service: string, ref: WeakRef<object>): void {
    const refs = this.#retired.get(service);
    refs?.delete(ref);
    if (refs?.size === 0) this.#retired.delete(service);
  }
}
