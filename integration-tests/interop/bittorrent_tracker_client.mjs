// bittorrent_tracker_client.mjs URL INFO_HASH PORT: with npm's bittorrent-tracker starts as a leech, scrapes, becomes whole,
// scrapes, stops. One JSON line for each answer. SHOAL_NODE_MODULES is the folder that has the package.
import { createRequire } from 'node:module'
import path from 'node:path'

const require = createRequire(path.join(process.env.SHOAL_NODE_MODULES, 'here.js'))
const Client = require(path.join(process.env.SHOAL_NODE_MODULES, 'bittorrent-tracker', 'client.js'))
const [url, infoHash, port] = process.argv.slice(2)
const tell = what => console.log(JSON.stringify(what))
const peerId = '2d' + port.padStart(38, '0')
const ask = new Client({ announce: [url], infoHash, peerId, port: Number(port) })
const fail = error => { tell({ error: error.message }); process.exit(1) }
ask.on('error', fail)
ask.on('warning', fail)
ask.on('peer', peer => tell({ peer }))
const next = (event, act) => new Promise(resolve => { ask.once(event, resolve); act() })
const numbers = ({ complete, incomplete, downloaded }) => ({ complete, incomplete, downloaded })

tell({ started: numbers(await next('update', () => ask.start({ left: 100, numwant: 50 }))) })
tell({ scraped: numbers(await next('scrape', () => ask.scrape())) })
tell({ completed: numbers(await next('update', () => ask.complete({ left: 0 }))) })
tell({ scraped: numbers(await next('scrape', () => ask.scrape())) })
tell({ stopped: numbers(await next('update', () => ask.stop({ left: 0 }))) })
ask.destroy(() => process.exit(0))
