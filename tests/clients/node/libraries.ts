// Client libraries for server-sent events, each used as its own readme does, and brought to one form.

import { setTimeout as pause } from 'node:timers/promises'

import { fetchEventSource } from '@microsoft/fetch-event-source'
import { EventSource } from 'eventsource'
import { createEventSource } from 'eventsource-client'
import { EventSourceParserStream } from 'eventsource-parser/stream'

export type Heard = { event: string; id: string; data: string }
// Follows a stream, coming back whenever the connection ends, until the function that it returns is called.
export type Follow = (url: string, hear: (heard: Heard) => void) => () => void

// EventSource hears only what it listens for; a message without a name would be a 'message'.
const EVENTS = [
  'message', 'leaderboard', 'score-updated', 'score-removed', 'leaderboard-patch', 'standing', 'leaderboard-changed', 'user-changed',
  'season-ended', 'season-started', 'heartbeat', 'busy', 'closed',
]

function eventsource(url: string, hear: (heard: Heard) => void): () => void {
  const source = new EventSource(url)
  for (const event of EVENTS) {
    source.addEventListener(event, (message) => hear({ event, id: message.lastEventId, data: message.data }))
  }
  return () => source.close()
}

function microsoft(url: string, hear: (heard: Heard) => void): () => void {
  // It is made for browsers, and asks these two for timers and for whether the page is seen.
  Object.assign(globalThis, { window: globalThis, document: new EventTarget() })
  const stop = new AbortController()
  void fetchEventSource(url, {
    signal: stop.signal,
    openWhenHidden: true,
    onmessage: hear,
    // An end is taken as final unless this throws.
    onclose: () => { throw new Error('ended') },
    onerror: () => undefined,
  })
  return () => stop.abort()
}

function eventsourceClient(url: string, hear: (heard: Heard) => void): () => void {
  const source = createEventSource({
    url,
    onMessage: ({ event, id, data }) => hear({ event: event ?? 'message', id: id ?? '', data }),
  })
  return () => source.close()
}

// Only a parser: fetching and coming back are its user's.
function eventsourceParser(url: string, hear: (heard: Heard) => void): () => void {
  const stop = new AbortController()
  const follow = async (): Promise<void> => {
    let lastEventId = ''
    while (!stop.signal.aborted) {
      try {
        const headers: Record<string, string> = lastEventId ? { 'Last-Event-ID': lastEventId } : {}
        const response = await fetch(url, { headers, signal: stop.signal })
        if (!response.body) throw new Error('no body')
        const blocks = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream())
        for await (const { event, id, data } of blocks) {
          if (id) lastEventId = id
          hear({ event: event ?? 'message', id: id ?? '', data })
        }
      } catch {
        await pause(20)
      }
    }
  }
  void follow()
  return () => stop.abort()
}

export const libraries: Record<string, Follow> = {
  eventsource,
  '@microsoft/fetch-event-source': microsoft,
  'eventsource-client': eventsourceClient,
  'eventsource-parser': eventsourceParser,
}
