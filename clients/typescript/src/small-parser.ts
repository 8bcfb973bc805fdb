// A parser of server-sent events in place of eventsource-parser, for the element alone, which has to be small: the same interface, for what this
// element asks of it. After the specification: lines end with CR, LF or both, fields may repeat, a blank line dispatches.

interface Callbacks {
  onEvent(event: { event: string | undefined; data: string }): void;
  onRetry(millis: number): void;
}

export function createParser({ onEvent, onRetry }: Callbacks): { feed(chunk: string): void } {
  let rest = '';
  let [event, data]: (string | undefined)[] = [];
  const take = (line: string): void => {
    if (line === '') {
      if (data !== undefined) onEvent({ event, data });
      event = data = undefined;
      return;
    }
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line)!;
    if (field === 'data') data = data === undefined ? value : `${data}\n${value}`;
    if (field === 'event') event = value;
    if (field === 'retry') onRetry(Number(value));
  };
  return {
    feed(chunk) {
      // A CR at the end may be half of a CR LF.
      const lines = (rest + chunk).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop()!;
      lines.forEach(take);
    },
  };
}
