// A network that can be cut: hands every connection on to the server, until told otherwise.

import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net'
import { once } from 'node:events'

export class Forwarder {
  readonly url: string
  readonly #sockets = new Set<Socket>()
  #down = false

  private constructor(readonly server: Server, target: URL) {
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    server.on('connection', (near) => {
      if (this.#down) {
        near.destroy()
        return
      }
      const far = connect(Number(target.port), target.hostname)
      for (const [socket, other] of [[near, far], [far, near]] as const) {
        this.#sockets.add(socket)
        socket.on('error', () => other.destroy())
        socket.on('close', () => {
          this.#sockets.delete(socket)
          other.destroy()
        })
        socket.pipe(other)
      }
    })
  }

  static async to(target: string): Promise<Forwarder> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new Forwarder(server, new URL(target))
  }

  // Ends all connections, and lets none through while something happens on the other side.
  async cutWhile(happens: () => Promise<void>): Promise<void> {
    this.#down = true
    for (const socket of this.#sockets) socket.destroy()
    await happens()
    this.#down = false
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.server.close()
  }
}
