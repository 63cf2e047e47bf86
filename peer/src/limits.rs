//! Every bound of this crate, with its source.

use std::time::Duration;

/// Connections that are still shaking hands, over all torrents.
/// Ours: a flood of half-open ones costs 256 small tasks and descriptors, and no more.
pub const HANDSHAKES_PENDING_MAX: usize = 256;

/// Of these, from one address that is neither this machine's nor private.
/// Ours: honest peers behind one address translator come one by one; a flood does not.
pub const HANDSHAKES_PENDING_PER_ADDRESS_MAX: usize = 16;

/// Connections that came from one address, over all torrents; see `crowd` for what that is.
/// Ours: libtorrent takes one a torrent, but one translated address may hide a dormitory.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 48;

/// The port that trackers are told when nobody can reach us: they refuse 0.
/// Ours: IANA's tcpmux, which nobody runs; who dials it is refused at once.
pub const PORT_OF_NOBODY: u16 = 1;

/// For a whole handshake, not for each read of it. Source: libtorrent's `handshake_timeout`.
pub const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// For a connection to open. Ours: three SYNs (0, 1, 3 s) and an answer from far away.
pub const CONNECT_TIME_MAX: Duration = Duration::from_secs(8);

/// Pause after the system had no descriptor left for an accepted connection.
/// Ours: long enough not to spin, short enough not to be felt.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepted connections that the system keeps ready for us. Ours: a crowd after a restart.
pub const LISTEN_BACKLOG: i32 = 512;

/// First receive area of a connection, bytes. Ours: one block; a thousand idle ones cost 16 MiB.
pub const RECEIVE_AREA_MIN: usize = 16 << 10;

/// Largest receive area of a connection, bytes.
/// Ours: sixteen blocks a read make the cost of a wake-up small; more reads no faster.
pub const RECEIVE_AREA_MAX: usize = 256 << 10;

/// Used receive areas that are kept for the next read, bytes over all connections of a torrent.
/// Ours: what a fast torrent has at the disk at any time; fresh memory costs a fault a page.
pub const RECEIVE_POOL_BYTES_MAX: usize = 8 << 20;

/// Used receive areas that are kept, whatever their size. Ours: bounds the search for a free one.
pub const RECEIVE_POOL_AREAS_MAX: usize = 64;

/// Messages handed over at once. Ours: a flood of keep-alives is four bytes each on the line and
/// forty in memory; so a batch of the smallest stays below a receive area.
pub const BATCH_MESSAGES_MAX: usize = 1024;

/// Batches from all connections that wait for their torrent.
/// Ours: 16 full receive areas are 4 MiB; behind that the sockets are not read.
pub const BATCHES_QUEUED_MAX: usize = 16;

/// Encoded messages that wait for one socket, bytes; above, the connection is closed.
/// Ours: the longest bitfield (256 KiB) and as much again of requests, haves and rejects.
pub const OUTBOX_CONTROL_BYTES_MAX: usize = 512 << 10;

/// Shortest bitfield that is not copied for each connection, bytes.
/// Ours: 32,768 pieces; shorter ones cost less than what keeps them apart.
pub const BITFIELD_SHARED_MIN: usize = 4 << 10;

/// Blocks that wait for one socket, unread ones included; above, the connection is closed.
/// Ours: above any queue that a swarm lets a peer have, so that only a bug or a flood gets there.
pub const OUTBOX_BLOCKS_MAX: usize = 4096;

/// Block bytes read ahead of a socket that has taken nothing yet. Ours: eight blocks.
pub const OUTBOX_READ_AHEAD_MIN: usize = 128 << 10;

/// Block bytes read ahead of a fast socket. Ours: while one such half is written the next is read.
pub const OUTBOX_READ_AHEAD_MAX: usize = 512 << 10;

/// Pieces of memory in one vectored write. Ours: 64 blocks with their heads are 1 MiB; the
/// system's bound is 1024.
pub const WRITE_SLICES_MAX: usize = 128;

/// Reads of a socket that never waits, between two turns of the executor.
/// Ours: 1 MiB, so that the other tasks and the writes of this one are not starved.
pub const READS_IN_A_ROW_MAX: usize = 4;

/// A message may be unfinished for this long at any rate.
/// Ours: half of BEP 3's two minutes of silence.
pub const PARTIAL_MESSAGE_TIME: Duration = Duration::from_secs(30);

/// Slowest that an unfinished message may grow after [`PARTIAL_MESSAGE_TIME`], bytes a second.
/// Ours: a block in a minute. One byte a second would hold its memory for hours.
pub const PARTIAL_MESSAGE_BYTES_PER_S_MIN: u64 = 256;

/// For how long a socket may take none of the bytes that wait for it.
/// Source: as libtorrent's `peer_timeout`, 120 s, halved: what waits holds memory.
pub const WRITE_STALL_MAX: Duration = Duration::from_secs(60);

/// A connection that read nothing for this long gives its receive area back.
/// Ours: between two rounds of choking.
pub const RECEIVE_IDLE: Duration = Duration::from_secs(10);

/// How often deadlines of connections are looked at. Ours: one timer a torrent, none a socket.
pub const TICK: Duration = Duration::from_secs(1);

/// Payload that waits to be written, bytes of one torrent; above, its sockets are not read.
/// Ours: what a processor's last cache holds; more is written from memory that has grown cold, and
/// only hides that the disk is slow.
pub const DISK_QUEUE_BYTES_MAX: usize = 8 << 20;

/// Bytes of blocks that are worth waking a disk thread for while no piece is complete.
/// Ours: half a piece of 1 MiB; one write of so much costs a third less than four of a quarter.
pub const WRITE_TOGETHER: usize = 512 << 10;

/// Jobs that a disk thread takes at once. Ours: pieces that end together are hashed together,
/// and their haves do not wait long: 256 blocks are 4 MiB.
pub const DISK_BATCH_MAX: usize = 256;

/// Complete pieces of one torrent that wait to be hashed, bytes; above, its sockets are not read.
/// Ours: far more than all lanes take at once, and little enough that what was written is still in
/// the page cache when its turn comes, also where a cgroup leaves little of that.
pub const UNJUDGED_BYTES_MAX: usize = 64 << 20;

/// How long a complete piece waits for others to be verified with, while they come faster than
/// that. Ours: several pieces of 1 MiB at the rate of a fast line; peers hear of a piece later by
/// no more than the way of a message across a continent.
pub const VERIFY_WAIT: Duration = Duration::from_millis(10);

/// How often a disk that failed is tried again. Ours: soon enough for a person who made room.
pub const DISK_RETRY: Duration = Duration::from_secs(3);

/// Windows that nobody used for this long are unmapped. Ours: idle torrents cost no mappings.
pub const DISK_TRIM: Duration = Duration::from_secs(30);

/// Events that wait for one reader; above, the oldest that may be lost is.
/// Ours: several seconds of a busy torrent.
pub const EVENTS_QUEUED_MAX: usize = 1024;

/// Commands that wait for a torrent. Ours: people and their programs ask seldom.
pub const COMMANDS_QUEUED_MAX: usize = 32;

/// Handshaken connections that wait for their torrent. Ours: more than a torrent takes in all, so
/// that a hundred at once turn nobody away while it is busy; they hold no receive area yet.
pub const ARRIVALS_QUEUED_MAX: usize = 256;

/// Batches handled before what they led to is handed on.
/// Ours: 2 MiB, so that requests go out while the next batches come in.
pub const BATCHES_A_ROUND: usize = 8;

/// How often the progress of a check is told. Ours: a progress bar that moves, and no more.
pub const CHECKING_EVERY: Duration = Duration::from_millis(200);

/// For the farewell to trackers. Source: people press Ctrl+C once and wait that long.
pub const FAREWELL_TIME_MAX: Duration = Duration::from_secs(3);

/// Threads that run tasks, at most. Ours: one takes in about a GiB a second; the swarm of a torrent
/// is one task.
pub const EXECUTOR_THREADS_MAX: usize = 4;

/// Disk threads unless told otherwise. Ours: hashing keeps pace with any socket on four cores.
pub const DISK_THREADS_DEFAULT_MAX: usize = 4;

/// Tries to find a port that is free for both families. Ours: a clash is rare, eight are none.
pub const PORT_TRIES_MAX: usize = 8;

/// Written bytes after which they are made durable. Ours: what a slow disk writes in a second; a
/// loss of power costs that much, and what came until the next [`TICK`].
pub const FLUSH_BYTES: u64 = 64 << 20;

/// The part of the memory that the process could have, of which bytes of one torrent may wait to
/// become durable; above, its sockets are not read. Source: less than the tenth at which Linux
/// begins to write back what all processes wrote, `vm.dirty_background_ratio`.
pub const DIRTY_PART: u64 = 16;

/// As many at least. Ours: a disk that is busy for seconds holds up no download.
pub const DIRTY_BYTES_MIN: u64 = 32 << 20;

/// Between two times that written bytes are made durable, while there are few. Ours: shorter than
/// the lease that a journal gives to writers, so that none waits for it.
pub const FLUSH_EVERY: Duration = Duration::from_secs(10);

/// Between two looks at the memory of the process, while somebody asks. Ours: some milliseconds
/// each for a GiB.
pub const MEASURE_EVERY: Duration = Duration::from_secs(5);

/// Web seeds of one torrent that are asked at the same time. Ours: servers are few, and each is
/// asked for what others are not.
pub const WEB_SEEDS_USED: usize = 8;

/// Questions that a web server has before it answers. Ours: the line is never idle for a round
/// trip, and little is asked in vain.
pub const WEB_ASKED_AHEAD: usize = 2;

/// The most that one question asks for, bytes. Ours: a fast server gives it in a tenth of a
/// second; a piece that another was faster with costs no more.
pub const WEB_RUN_BYTES: u64 = 4 << 20;

/// Read from a web server at once, at most, bytes. Ours: as from a peer.
pub const WEB_READ: usize = 256 << 10;

/// Bytes skipped of a file that a server sends whole. Ours: a minute at 2 Mbit/s; longer ones would
/// be sent again and again.
pub const WEB_SKIPPED_MAX: u64 = 16 << 20;

/// The longest file kept in memory that a server sends whole though a part was asked for, bytes.
/// Ours: else it would be sent again for each piece; eight web seeds hold 64 MiB at most.
pub const WEB_WHOLE_KEPT: u64 = 8 << 20;

/// Redirects followed one after the other. Source: what browsers agree on is twenty; mirrors need
/// one or two.
pub const WEB_REDIRECTS_MAX: usize = 5;

/// Files of which it is remembered where a redirect led. Ours.
pub const WEB_REDIRECTS_KEPT: usize = 1_024;

/// First wait before a web server that failed is asked again. Ours.
pub const WEB_RETRY_FIRST: Duration = Duration::from_secs(5);

/// Longest wait before a web server is asked again, whatever it says. Ours.
pub const WEB_RETRY_MAX: Duration = Duration::from_secs(3_600);

/// The wait when a server refuses, or has another file. Ours: somebody may put it right.
pub const WEB_RETRY_REFUSED: Duration = Duration::from_secs(3_600);

/// The wait when a busy server does not say how long. Source: libtorrent's `urlseed_wait_retry`,
/// 30 s.
pub const WEB_BUSY: Duration = Duration::from_secs(30);

/// What trackers are told is left while nobody knows, bytes. Source: as libtorrent; zero would
/// make us a seed, of which other downloaders are not told.
pub const LEFT_UNKNOWN: u64 = 16 << 10;

/// How often local discovery looks which torrents run. Ours: soon enough for a person.
pub const LSD_LOOK: Duration = Duration::from_secs(1);

/// How often local discovery looks at the interfaces. Ours: a laptop changes its network by hand.
pub const INTERFACES_LOOK: Duration = Duration::from_secs(30);

/// Interfaces with their addresses that local discovery speaks on.
/// Ours: hosts of many containers have hundreds, and nobody looks for peers on them.
pub const LSD_LINES_MAX: usize = 32;

/// Datagrams of local discovery that wait to be read; more are dropped.
/// Ours: more than a crowd sends between two turns.
pub const LSD_QUEUED_MAX: usize = 64;

/// Routers that a datagram of local discovery passes. Ours: none; what is farther is not local.
pub const LSD_HOPS: u32 = 1;

/// For how long a gateway is asked to keep a mapping; half of it later it is asked again.
/// Ours: RFC 6886, 3.3 proposes two hours; what a crash leaves behind is gone sooner with one.
pub const MAPPING_LIFETIME: Duration = Duration::from_secs(3600);

/// Soonest that a mapping is renewed, whatever a gateway grants. Ours: it must not make us a flood.
pub const MAPPING_RENEW_MIN: Duration = Duration::from_secs(30);

/// After all failed. Ours: a router that is being restarted or set up is found again by itself.
pub const MAPPING_RETRY: Duration = Duration::from_secs(5 * 60);

/// Waits for the answers to each try of a question by datagram, milliseconds.
/// Source: RFC 6886, 3.1, cut short after four: a gateway is one hop away.
pub const GATEWAY_WAITS_MS: [u64; 4] = [250, 500, 1000, 2000];

/// For one request over HTTP, from connecting to the end of the answer.
/// Ours: slow routers take a second to change their tables.
pub const GATEWAY_HTTP_TIME_MAX: Duration = Duration::from_secs(5);

/// For taking a mapping back when we end. Ours: less than the trackers have then.
pub const MAPPING_RELEASE_TIME_MAX: Duration = Duration::from_millis(1500);

/// Other ports that are tried at a UPnP gateway when somebody has ours.
/// Ours: a random one is taken once in thousands.
pub const MAPPING_PORT_TRIES: usize = 4;

/// News of the mapping that nobody has read. Ours: one comes in minutes.
pub const PORT_NEWS_QUEUED_MAX: usize = 16;

/// Datagrams of the DHT that wait for its node; above, the newest is lost. Ours: a burst of answers
/// to all that the node asks at once.
pub const DHT_DATAGRAMS_MAX: usize = 512;

/// What the system keeps of datagrams until they are read, bytes. Ours: as many again.
pub const DHT_RECEIVE_BUFFER: usize = 512 << 10;

/// Wishes that wait for the node of the DHT. Ours: the start of many torrents; more wait with them.
pub const DHT_COMMANDS_MAX: usize = 256;

/// News of one lookup that wait for who asked; above, the newest is lost. Ours: every node of a
/// lookup may have some.
pub const DHT_NEWS_MAX: usize = 256;

/// Between two tries to look up names that could not be. Ours: soon after a network came.
pub const DHT_NAMES_AGAIN: Duration = Duration::from_secs(30);

/// The longest file of a node's memory that is read, bytes. Ours: 800 nodes have 26,000.
pub const DHT_STATE_BYTES_MAX: u64 = 256 << 10;

/// Between two announces of a torrent to the DHT. Ours: nodes of the field forget after 30 minutes
/// and more.
pub const DHT_ANNOUNCE_EVERY: Duration = Duration::from_secs(15 * 60);

/// The least between two lookups of a torrent that wants peers, doubled each time that none are
/// found. Ours: a lookup takes a second and forty datagrams.
pub const DHT_AGAIN_MIN: Duration = Duration::from_secs(15);
