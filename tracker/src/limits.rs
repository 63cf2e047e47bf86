//! Every bound of this crate, with its source.

use std::time::Duration;

// What we believe of a tracker's answer.

/// Shortest `interval` we obey as it is; a shorter one is raised to it. Ours: a tracker that asks
/// for less asks to be flooded, and local swarms of a few minutes want short ones.
pub const INTERVAL_MIN: Duration = Duration::from_secs(5);

/// Longest `interval` we obey. Ours: a day; a longer one would lose the swarm for a typing error.
pub const INTERVAL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// `interval` of an answer that has none. Source: libtorrent's default, 1,800 s.
pub const INTERVAL_DEFAULT: Duration = Duration::from_secs(30 * 60);

/// `min interval` of an answer that has none. Source: Transmission's default, 2 minutes.
pub const MIN_INTERVAL_DEFAULT: Duration = Duration::from_secs(2 * 60);

/// Peers we take from one answer. Ours: ten times what trackers give; 18 bytes each.
pub const PEERS_MAX: usize = 2_000;

/// Values in an answer: a peer in a dictionary is seven. Ours: [`PEERS_MAX`] of them and room.
pub const RESPONSE_TOKENS_MAX: usize = 7 * PEERS_MAX + 2_000;

/// Bytes of a `failure reason` or `warning message` that are shown. Ours: a paragraph.
pub const TEXT_BYTES_MAX: usize = 512;

/// Bytes of a `tracker id`, ours to send back. Ours: longer ones are dropped, not cut.
pub const TRACKER_ID_BYTES_MAX: usize = 256;

/// Bytes of an answer's body. Source: libtorrent's bound of a tracker's response, 1 MiB.
pub const BODY_BYTES_MAX: usize = 1 << 20;

// How we announce.

/// Trackers of one torrent; further ones are ignored. Ours: no torrent of sense has so many.
pub const TRACKERS_MAX: usize = 100;

/// Wait after a tracker's first failure; doubled by each further one.
/// Source: libtorrent's `tracker_retry_delay_min`, 5 s.
pub const RETRY_MIN: Duration = Duration::from_secs(5);

/// Longest wait after a failure. Source: libtorrent's `tracker_retry_delay_max`, 60 minutes.
pub const RETRY_MAX: Duration = Duration::from_secs(60 * 60);

/// Shortest wait that a tracker's refusal may ask for. Source: BEP 31 counts in minutes.
pub const RETRY_SAID_MIN: Duration = Duration::from_secs(60);

/// An announce without an answer for so long has the next tracker asked beside it. Ours: a good
/// tracker answers within one or two seconds, a dead one would hold the torrent up for
/// [`EXCHANGE_MAX`].
pub const PATIENCE: Duration = Duration::from_secs(5);

/// An announce without an answer for so long has failed. Ours: four times [`EXCHANGE_MAX`].
pub const ANSWER_MAX: Duration = Duration::from_secs(120);

/// One announce or scrape, from the name to the last byte. Source: libtorrent's
/// `tracker_completion_timeout`, 30 s.
pub const EXCHANGE_MAX: Duration = Duration::from_secs(30);

/// One attempt to connect to one address. Ours: three addresses fit into [`EXCHANGE_MAX`].
pub const CONNECT_MAX: Duration = Duration::from_secs(8);

/// Connections to one tracker at the same time, over all torrents. Ours: two hundred torrents say
/// `stopped` through them within three seconds when an answer takes 0.2 s; libtorrent has 50 to all
/// trackers together.
pub const CONNECTIONS_PER_TRACKER_MAX: usize = 16;

/// Redirects followed. Source: libtorrent and curl's advice for untrusted servers, 5.
pub const REDIRECTS_MAX: usize = 5;

/// Addresses of one name that are tried. Ours: large round-robin names have about eight.
pub const ADDRESSES_MAX: usize = 16;

/// Names looked up at the same time. Ours: two dead names must not keep the third waiting.
pub const RESOLVER_THREADS: usize = 4;

/// Names waiting to be looked up; one more waits at the door. Ours.
pub const RESOLVER_QUEUE: usize = 64;

/// Info hashes of one scrape. Source: BEP 15 allows about 74 in a packet; a URL of 4 KiB the same.
pub const SCRAPE_HASHES_MAX: usize = 64;

/// Info hashes of one scrape over UDP. Source: BEP 15, "up to about 74 torrents".
pub const UDP_SCRAPE_HASHES_MAX: usize = 74;

/// A packet without an answer is sent again after this, and after twice as long each further time.
/// Source: BEP 15, "15 * 2 ^ n seconds".
pub const UDP_RETRY: Duration = Duration::from_secs(15);

/// How often that wait is doubled. Source: BEP 15, n up to 8.
pub const UDP_DOUBLINGS_MAX: u32 = 8;

/// One question over UDP, with all that is sent again. Ours: BEP 15 would go on for two hours; with
/// this the third packet has had its 60 seconds, and [`RETRY_MIN`] to [`RETRY_MAX`] take over.
pub const UDP_EXCHANGE_MAX: Duration = Duration::from_secs(105);

/// Bytes of path and query sent with an announce over UDP. Ours: what an IPv6 packet of 1,280 bytes
/// has room for; the longest in use are passkeys of some 40.
pub const UDP_URL_BYTES_MAX: usize = 1_024;

/// Bytes of an answer over UDP that are read. Ours: 900 peers of IPv6; answers fit one packet of
/// some 1,400 as a rule.
pub const UDP_PACKET_BYTES_MAX: usize = 16 << 10;

/// Questions that wait to be sent over UDP; one more waits at the door. Ours.
pub const UDP_QUEUE: usize = 64;

/// After an answer over one address family, the other has this long for its own. Ours: a family
/// without a way must not hold up the one that has.
pub const FAMILY_PATIENCE: Duration = Duration::from_secs(2);

/// How long a connection id may be used. Source: BEP 15, one minute.
pub const CONNECTION_ID_MAX: Duration = Duration::from_secs(60);

/// Bytes of an announce URL. Ours: half of what a request's head may have.
pub const URL_BYTES_MAX: usize = 4_096;

/// Bytes of a request's or a response's head. Source: aquatic has 2 KiB, tide's codec 8 KiB.
pub const HEAD_BYTES_MAX: usize = 8_192;

// The server.

/// `interval` we give. Source: BEP 3 names none; trackers in the field give 30 minutes.
pub const SERVER_INTERVAL_DEFAULT: Duration = Duration::from_secs(30 * 60);

/// Shortest `interval` a server may be told to give. Ours: below it announces are all it does.
pub const SERVER_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// A peer is gone after two intervals of silence and this much. Ours: room for a slow announce.
pub const EXPIRY_SLACK: Duration = Duration::from_secs(30);

/// The table's seconds count from so long before it began, so that whom another tracker heard of
/// earlier has a time. Ours: twelve days; no peer lives as long in silence.
pub(crate) const SECONDS_BEFORE: u32 = 1 << 20;

/// Words on peers that one part of the table keeps for other trackers until they are taken; of more
/// the oldest go. Ours: 80 bytes each, 42 MB in all at the most.
pub const OUTBOX_MAX: usize = 8_192;

/// Parts of the table, each with a lock of its own. Ours: threads of a large machine seldom meet,
/// and an empty table is small.
pub const SHARDS: usize = 64;

/// A torrent's silent peers are looked for at most so often. Ours: a pass over all its peers.
pub const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// Peers of one shard looked at by one call of the server's clock. Ours: keeps a shard's lock for
/// tens of microseconds, or a millisecond if all of them go; ten million peers take half a minute.
pub const SWEEP_PEERS: usize = 8_192;

/// What looking at a torrent costs beside its peers, in peers. Ours: two cache misses.
pub const SWEEP_TORRENT_COST: usize = 8;

/// Peers of a torrent that are looked at within an announce, when it is time. Ours: microseconds.
pub const SWEEP_AT_ONCE: usize = 1_024;

/// Most that a peer can miss, bytes; who says more says that it does not know. Ours: an exbibyte,
/// far above any torrent, and below what clients announce that have no metadata, 2^63 - 1 or
/// 2^64 - 1.
pub const LEFT_MAX: u64 = 1 << 60;

/// Peers given to one who does not say how many. Source: BEP 3's reference tracker, 50.
pub const NUMWANT_DEFAULT: usize = 50;

/// Peers given at most. Source: trackers in the field cut at 200.
pub const NUMWANT_MAX: usize = 200;

/// How long a connection id is good at least; at most it is twice that. Source: BEP 15: a tracker
/// takes one until two minutes after it was sent.
pub const CONNECTION_WINDOW: Duration = Duration::from_secs(120);

/// IPv6 peers of one answer over UDP. Ours: with its head 1,226 bytes, which pass where the path
/// takes no more than IPv6 asks for, 1,280 with 48 of heads (RFC 8200).
pub const UDP_PEERS_V6_MAX: u32 = 67;

/// Packets taken from a socket at once, and answered at once. Source: aquatic's and nginx's batches
/// are of this order; beyond it nothing is left to gain.
pub const UDP_BATCH: usize = 64;

/// Bytes of a request over UDP that are read. Ours: a scrape of 74 has 1,496; Ethernet takes 1,500.
pub const UDP_REQUEST_BYTES_MAX: usize = 2_048;

/// Bytes of packets that the kernel keeps for a socket until we come. Ours: the burst of some
/// milliseconds; Linux cuts at `net.core.rmem_max`.
pub const UDP_RECEIVE_BUFFER: usize = 4 << 20;

/// Threads that answer over UDP. Ours: one for each core, and no more than that.
pub const UDP_WORKERS_MAX: usize = 16;

/// Torrents of a server that serves any. Ours: 200 bytes each with a peer or two, 200 MB in all.
pub const TORRENTS_MAX: usize = 1_000_000;

/// Torrents that are watched: the first ones. Ours: a small tracker shows all it has, a large one
/// cannot.
pub const WATCHED_TORRENTS_MAX: usize = 1_000;

/// Peers of one torrent, of either address family. Ours: the largest swarms known have some 10^5.
pub const PEERS_PER_TORRENT_MAX: usize = 100_000;

/// Peers of one torrent at one address of the internet; for IPv6 in one /64, which is what a host
/// gets. Ours: a large NAT has some dozens of one swarm, while one host with 65,535 ports must not
/// become the swarm that all others are told of.
pub const PEERS_PER_HOST_MAX: usize = 64;

/// Peers of all torrents. Ours: at most 64 bytes each, 256 MB in all.
pub const PEERS_TOTAL_MAX: usize = 4_000_000;

/// Torrents shown in a snapshot. Ours: no one reads more.
pub const SNAPSHOT_TORRENTS_MAX: usize = 1_000;

/// Peers of one torrent shown in a snapshot. Ours: no one reads more.
pub const SNAPSHOT_PEERS_MAX: usize = 1_000;

/// Connections at the same time. Ours: 8 KiB and a file descriptor each.
pub const CONNECTIONS_MAX: usize = 800;

/// Connections of one address of the internet, for IPv6 of one /64, at the same time.
/// Ours: clients behind one large NAT announce now and then and are gone after it.
pub const CONNECTIONS_PER_HOST_MAX: usize = 64;

/// From connecting, or from the answer before, to the first byte of a request. Ours.
pub const IDLE_MAX: Duration = Duration::from_secs(15);

/// From the first byte of a request to the end of its head, and for an answer to leave.
/// Ours: an announce fits one packet; who needs longer is holding the place.
pub const HEAD_MAX: Duration = Duration::from_secs(5);

/// Bytes read from a connection at once. Ours: some dozens of pipelined announces.
pub const READ_BYTES: usize = 16 << 10;

/// Reads from one connection in a row. Ours: then the others have their turn.
pub const READS_AT_ONCE: usize = 16;

/// Bytes of answers that wait for a peer to read them; until then it is asked for nothing more.
/// Ours: what one read may cause is bounded by this and one answer.
pub const OUTPUT_BYTES_MAX: usize = 64 << 10;

/// How long, and for how many bytes, what follows the last answer of a connection is thrown away,
/// so that the answer arrives. Ours.
pub const LINGER_MAX: Duration = Duration::from_secs(1);
/// The bytes of it. Ours: what is on its way when a head is refused.
pub const LINGER_BYTES_MAX: usize = 32 << 10;

/// Requests on one connection. Ours: then another may have the place.
pub const REQUESTS_PER_CONNECTION_MAX: usize = 10_000;

/// Events that wait for the monitor; more are dropped and counted. Ours.
pub const EVENTS_QUEUED_MAX: usize = 1_024;

/// A web server that neither takes nor gives anything for this long is given up. Ours: half of
/// what peers are given; another will have the piece.
pub const WEB_SILENCE_MAX: Duration = Duration::from_secs(30);

/// A line between two chunks of a body, bytes. Ours: a length and what few extensions there are.
pub const CHUNK_LINE_BYTES_MAX: usize = 1 << 10;

/// Longest URL of a file on a web seed, bytes. Ours: a web seed's and a path, each as long as it
/// may be, with every byte of the path escaped.
pub const WEB_URL_BYTES_MAX: usize = 16 << 10;

// The policy.

/// Entries of a list of torrents, in a file or made by people. Ours: as many as the table holds.
pub const LISTED_MAX: usize = TORRENTS_MAX;

/// Bytes of a list. Ours: [`LISTED_MAX`] hashes with a remark of some words behind each.
pub const LIST_BYTES_MAX: usize = 128 << 20;

/// Entries of a list of clients. Ours: each is compared with each announce.
pub const CLIENTS_LISTED_MAX: usize = 1_000;

/// .torrent files in a folder that is watched. Ours: looked at every few seconds.
pub const FOLDER_FILES_MAX: usize = 100_000;

/// Passkeys. Ours: some 300 bytes each.
pub const KEYS_MAX: usize = 1_000_000;

/// Peers at once of a passkey without a bound of its own. Ours: a seed box has some hundreds of
/// torrents; 200 bytes each.
pub const PEERS_PER_KEY_MAX: u32 = 1_000;

/// What a peer can move in a second, bytes. Ours: a line of 100 Gbit/s; who says more is not
/// believed.
pub const BYTES_PER_SECOND_MAX: u64 = 12_500_000_000;

/// How often the interval is stretched under load at most. Ours: four hours instead of thirty
/// minutes; a swarm whose members come less often forgets too many.
pub const STRETCH_MAX: u32 = 8;

/// The load is an average over this. Ours: a second of many is no burden, a minute is.
pub const LOAD_AVERAGED: Duration = Duration::from_secs(10);

/// What changed is written down so often; what a crash can lose. Ours: a transaction costs a disk
/// some milliseconds.
pub const STATE_EVERY: Duration = Duration::from_secs(2);

/// Parts of the table whose swarms are written at once. Ours: all of it in half a minute.
pub const STATE_PARTS_AT_ONCE: usize = 4;

/// Bytes of memory for the database. Ours: it is written, and seldom read.
pub const STATE_CACHE_BYTES: usize = 8 << 20;

/// Torrents without a peer whose completed counts are kept. Ours: 30 bytes each; then those of low
/// counts go.
pub const COMPLETED_MAX: usize = 4_000_000;

// The store that several trackers share.

/// Who asks for a torrent of which nobody is known here is told to come again so soon, since what
/// others know of it is here only then. Ours: several rounds of [`STORE_EVERY_DEFAULT`].
pub const STORE_FIRST_INTERVAL: Duration = Duration::from_secs(15);

/// How often the store is told and asked, unless said. Ours: clients announce every few minutes at
/// most, and two trackers differ by twice this.
pub const STORE_EVERY_DEFAULT: Duration = Duration::from_secs(2);

/// How often at most, whatever is said. Ours: for who says 0; more often tells nobody more.
pub const STORE_EVERY_MIN: Duration = Duration::from_millis(500);

/// To connect to the store. Ours: it stands near.
pub const STORE_CONNECT_MAX: Duration = Duration::from_secs(2);

/// For all answers to one batch. Ours: a batch costs the store milliseconds; one that takes so long
/// hangs.
pub const STORE_ANSWER_MAX: Duration = Duration::from_secs(3);

/// Bytes of all answers to one batch. Ours: [`STORE_READS_AT_ONCE`] full pages and room.
pub const STORE_ANSWER_BYTES_MAX: u64 = 32 << 20;

/// Wait after a store's first failure; doubled by each further one. Ours.
pub const STORE_RETRY_MIN: Duration = Duration::from_millis(500);

/// Longest such wait. Ours: a store that is back is used within it.
pub const STORE_RETRY_MAX: Duration = Duration::from_secs(15);

/// Peers of one torrent told by one command. Ours: a millisecond of the store's single thread.
pub const STORE_WRITE_PEERS: usize = 256;

/// Peers told by one batch of commands. Ours: 500 KB.
pub const STORE_WRITE_AT_ONCE: usize = 8_192;

/// Peers told again in one round, after the store was away. Ours: 10,000 a second cost it a small
/// part of its time; a million take two minutes.
pub const STORE_REPAIR_PEERS: usize = 20_000;

/// Peers and departures of one torrent that one question is answered with at most; of more the next
/// question gets the rest. Ours: 100 KB.
pub const STORE_READ_PEERS: usize = 1_000;

/// Torrents asked for by one batch of commands. Ours: see [`STORE_ANSWER_BYTES_MAX`].
pub const STORE_READS_AT_ONCE: usize = 128;

/// Torrents asked for in one round; of more each has its turn. Ours: unchanged ones cost the store
/// 10 microseconds each.
pub const STORE_READS: usize = 4_096;

/// Words on peers that have gone, kept for a store that is away. Ours: 80 bytes each.
pub const STORE_PENDING_MAX: usize = 100_000;

/// Torrents that are asked for at all: those last asked about here. Ours: 100 bytes each.
pub const STORE_FOLLOWED_MAX: usize = 500_000;

/// How long the store remembers that a peer has gone. Ours: a tracker that is away for longer
/// learns it from the peer's silence.
pub const STORE_GONE_LIFE: Duration = Duration::from_secs(300);

/// How long the store keeps the count of completed downloads of a torrent where none is added.
/// Ours.
pub const STORE_COMPLETED_LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Masters of a cluster. Source: the specification of Redis Cluster: up to 1,000 nodes.
pub const STORE_NODES_MAX: usize = 1_000;

/// What the store refuses is told at most so often. Ours.
pub const STORE_WARN_EVERY: Duration = Duration::from_secs(60);

/// A server that stops waits so long for the store to take the last news. Ours: a batch or two.
pub const STORE_END_MAX: Duration = Duration::from_secs(1);

/// Events of the store that wait to be told; more are dropped. Ours.
pub const STORE_EVENTS_MAX: usize = 64;

// What people look at.

/// Between two samples of what the status page draws. Ours: an hour is [`SAMPLES_MAX`] of them.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(5);

/// Samples that are kept. Ours: an hour; a screen has not many more columns.
pub const SAMPLES_MAX: usize = 720;

/// Largest torrents that pages know. Ours: ten pages; who looks for another has its info hash.
pub const LARGEST_MAX: usize = 1_000;

/// Rows of one page. Ours: a page of some 30 KiB.
pub const ROWS_MAX: usize = 100;

/// Peers of one torrent that a page counts clients among; of more it takes a fair part. Ours: a
/// copy of 1 MB, made under the lock of one shard within a millisecond.
pub const CENSUS_PEERS_MAX: usize = 10_000;

/// Clients of one torrent that a page lists; the others are one row. Ours.
pub const CLIENTS_MAX: usize = 30;

/// What pages show is so old at most, and no newer than this. Ours: nobody reads faster.
pub const OVERVIEW_EVERY: Duration = Duration::from_secs(1);

/// A walk over the table is not made again before so many times its own duration have passed.
/// Ours: pages cost a fiftieth of one core at most.
pub const OVERVIEW_SHARE: u32 = 50;

/// Torrents in an answer to a scrape without info hashes. Ours: some 60 bytes each, 6 MB in all.
pub const FULL_SCRAPE_MAX: usize = 100_000;

/// An answer to a scrape without info hashes is given for so long. Ours: it costs a walk.
pub const FULL_SCRAPE_EVERY: Duration = Duration::from_secs(10);

/// Bytes of a query of a page: a search and a page's number. Ours.
pub const SEARCH_BYTES_MAX: usize = 200;

/// Bytes of a body at the admin API. Ours: a thousand info hashes and their names.
pub const ADMIN_BODY_BYTES_MAX: usize = 128 << 10;

/// Connections to the admin API at the same time. Ours: an operator and a script or two.
pub const ADMIN_CONNECTIONS_MAX: usize = 32;

/// Bytes of a file with the admin token. Ours.
pub const TOKEN_FILE_BYTES_MAX: u64 = 1 << 10;

/// Shortest admin token of a file. Ours: 128 bits written in base 64 have 22.
pub const TOKEN_BYTES_MIN: usize = 16;

/// A file of a certificate or key. Ours: chains are some KiB.
pub const TLS_FILE_BYTES_MAX: u64 = 1 << 20;

/// The handshake of a TLS connection. Ours: two round trips, and slow clients.
pub const TLS_HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Certificate files are looked at so often for a change. Ours: nobody waits for it.
pub const TLS_LOOK_EVERY: Duration = Duration::from_secs(5);

/// From being asked to stop to closing all that is not answered. Ours: a head has as long.
pub const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Warnings of one second; further ones are counted. Ours: a log stays readable.
pub const WARNINGS_PER_SECOND_MAX: u32 = 5;
