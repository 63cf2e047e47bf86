//! Every bound and period of this crate, with its source.

use std::time::Duration;

/// Connections of one torrent. Ours: 1,000 peers cost about 2 MiB here and 1,000 sockets outside.
pub const PEERS_MAX: usize = 1_000;

/// Share of the connections kept free for peers that dial us: one in this many. Ours.
pub const INCOMING_RESERVE: usize = 5;

/// Requests one peer may queue with us. Ours: 500 × 16 KiB ≈ 8 MiB of promises per peer, and the
/// most that libtorrent asks for by default (`max_out_request_queue`). Told as `reqq`, BEP 10.
pub const REQUESTS_QUEUED_MAX: usize = 500;

/// Requests we have out to one peer. Ours: 8 MiB, a full pipe at 1 GiB/s and 8 ms.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 500;

/// Requests that a peer takes when it does not say. Source: libtorrent's documentation of `reqq`
/// names 250 as what clients take when nothing is told.
pub const REQQ_DEFAULT: usize = 250;

/// Requests at the start of an unchoke. Ours: one 256 KiB piece; it doubles each round trip.
pub const REQUESTS_START: usize = 16;

/// Requests at the start of an unchoke of a peer that gave nothing at the last. Ours: what it holds
/// in vain others cannot fetch; an honest one is back at [`REQUESTS_START`] in three round trips.
pub const REQUESTS_ON_PROBATION: usize = 2;

/// Requests always allowed to an unchoking peer. Source: libtorrent, `min_request_queue` 2.
pub const REQUESTS_MIN: usize = 2;

/// How long a request should wait at a peer. Ours: libtorrent waits 3 s; but what one peer holds
/// that long, another could give who gets the piece a moment later. It covers the jitter of a
/// line; a longer round trip is measured and doubled.
pub const QUEUE_TIME: Duration = Duration::from_millis(300);

/// Blocks given up (cancel, choke, reject) that may still come. Ours: two full pipelines.
pub const LATE_BLOCKS_MAX: usize = 2 * REQUESTS_IN_FLIGHT_MAX;

/// Blocks never asked for that we put up with on one connection. Ours: one window of a peer that
/// forgot that it was cancelled, no more.
pub const UNREQUESTED_BLOCKS_MAX: u32 = 64;

/// Rejects of requests never made that we put up with on one connection. Ours: two pipelines.
pub const UNREQUESTED_REJECTS_MAX: u32 = 1_000;

/// Without a block for this long a peer that owes us some is snubbed, whatever its rate. Source:
/// BEP 3's reference client and Cohen 2003, "anti-snubbing": one minute.
pub const SNUBBED_AFTER: Duration = Duration::from_secs(60);

/// The same for a peer that has not given one block since it unchoked us. Source: libtorrent's
/// `piece_timeout`, 20 s.
pub const SNUBBED_UNTRIED_AFTER: Duration = Duration::from_secs(20);

/// A peer that gives blocks is snubbed after so many times what passes between two of them, but
/// not before [`SNUBBED_UNTRIED_AFTER`]. Ours: far beyond any jitter of a line.
pub const SNUBBED_AFTER_GAPS: u32 = 16;

/// A peer that rejects an honest request is asked nothing for this long. Ours.
pub const REJECT_PAUSE: Duration = Duration::from_secs(2);

/// A choking peer with the fast extension should have answered each request by now. Ours.
pub const CHOKED_ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Peers that one block may be asked of beside the first, in the end game. Ours: each duplicate
/// is a possible waste of 16 KiB.
pub const ENDGAME_DUPLICATES_MAX: usize = 2;

/// Blocks that an idle peer duplicates at once in the end game. Ours: libtorrent takes one; two
/// keep the line busy.
pub const ENDGAME_BLOCKS: usize = 2;

/// Pieces begun that still have blocks to ask for. Ours: above it the oldest that nobody works
/// on is given up.
pub const PARTIAL_PIECES_MAX: usize = 1_024;

/// Steps along the rarity order before the peer's own bitfield is searched instead. Ours: below
/// two microseconds.
pub const RARITY_WALK_MAX: usize = 1_024;

/// Peers with fewer pieces than this move them one by one in the rarity order; above, the order
/// is sorted anew. Source: libtorrent does single updates below 50.
pub const RARITY_SINGLE_UPDATES_MAX: u32 = 50;

/// Pieces taken at random before rarest first begins. Source: Legout et al. 2006 and BEP 3's
/// reference client: a first piece to trade matters more than which.
pub const RANDOM_PIECES: u32 = 1;

/// Rounds of the choker. Source: BEP 3, "every ten seconds".
pub const CHOKE_ROUND: Duration = Duration::from_secs(10);

/// Rounds between two optimistic unchokes. Source: BEP 3, "every 30 seconds".
pub const OPTIMISTIC_ROUNDS: u32 = 3;

/// A peer counts as new to the optimistic unchoke for this long. Ours: two optimistic turns.
pub const NEWCOMER_FOR: Duration = Duration::from_secs(60);

/// How much likelier a new peer is to be unchoked optimistically. Source: BEP 3, three times.
pub const NEWCOMER_WEIGHT: u32 = 3;

/// How long a seed serves a peer before another's turn. Ours: as an optimistic unchoke.
pub const SEED_TURN: Duration = Duration::from_secs(30);

/// Most upload slots, whatever the rate. Ours.
pub const UNCHOKE_SLOTS_MAX: usize = 16;

/// The k-th slot is opened beyond the configured ones while each served peer gets more than k
/// times this. Source: libtorrent's rate-based choker, 2 KiB/s a slot; ours is bolder: fast lines
/// are common and thin slots are not.
pub const SLOT_RATE: u64 = 8 << 10;

/// No slot is opened beyond the configured ones unless each peer gets a piece in this time,
/// milliseconds. Ours: what is given on waits for the whole piece, at each hop.
pub const SLOT_PIECE_WITHIN_MS: u64 = 2_000;

/// A served peer's rate is trusted after this. Ours.
pub const SLOT_SETTLE: Duration = Duration::from_secs(3);

/// A peer that we serve and that takes nothing for this long holds its slot against nobody.
/// Ours: a slow round trip, twice; taken in error, it costs that one more is served for a while.
pub const IDLE_AFTER: Duration = Duration::from_secs(2);

/// A peer that is served holds its slot for this long in any case. Ours: time to ask.
pub const SLOT_FRESH: Duration = Duration::from_millis(800);

/// A peer for which something waits less than one part in so many of the time has all that it
/// asks for: its slot is held against nobody. Ours: who downloads keeps requests here.
pub const HUNGRY_SHARE: u32 = 4;

/// Who took nothing in its turn gets the next behind everybody else for this long, twice as long
/// after each further such turn. Ours: a round.
pub const WASTER_PAUSE: Duration = Duration::from_secs(10);

/// The most of [`WASTER_PAUSE`]. Ours: an honest peer whose disk stood still waits no longer.
pub const WASTER_PAUSE_MAX: Duration = Duration::from_secs(160);

/// Bytes given to the shell and not yet on the line, per peer, at first. Ours: what we say waits
/// behind them, a fifth of a second on a line of 20 Mbit/s with eight peers; a fast line runs dry
/// and gets more at once.
pub const SERVE_AHEAD_START: u64 = 64 << 10;

/// The same, after the line ran dry. Ours: half of what a peer may queue.
pub const SERVE_AHEAD_MAX: u64 = 4 << 20;

/// Silence of ours that a keep-alive ends. Source: BEP 3, two minutes; earlier, as lines lag.
pub const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(100);

/// Silence of theirs that we take. Source: BEP 3, two minutes; half a minute of grace.
pub const SILENT_AFTER: Duration = Duration::from_secs(150);

/// Messages that change nothing, at once. Ours: a cancelled pipeline and its rejects fit twice.
pub const CONTROL_BURST: u64 = 2_000;

/// A request below this that is no whole block costs as much as a message that changes nothing.
/// Ours: a read and an answer for a few bytes; no client is known to ask for less than 4 KiB.
pub const REQUEST_LENGTH_FREE: u32 = 4 << 10;

/// Pieces of a repeated bitfield that cost as much as one message. Ours: 1 KiB on the wire.
pub const BITFIELD_PIECES_PER_CHARGE: u32 = 8 << 10;

/// Messages that change nothing, a second. Ours.
pub const CONTROL_PER_S: u64 = 50;

/// Allowed-fast pieces given to a peer. Source: BEP 6, k = 10.
pub const ALLOWED_FAST_GIVEN: usize = 10;

/// Blocks of them that a peer is given while it is choked. Ours: 1 MiB. Its other peers allow the
/// same pieces, so it need not get them whole from one; ten pieces of 16 MiB would be no choking.
pub const ALLOWED_FAST_BLOCKS: usize = 64;

/// Allowed-fast pieces kept from a peer. Ours: more than any client gives.
pub const ALLOWED_FAST_KEPT: usize = 32;

/// Allowed-fast pieces go to peers with fewer pieces than this. Source: BEP 6, k.
pub const ALLOWED_FAST_BELOW: u32 = 10;

/// Suggested pieces kept from a peer. Ours: twice what we suggest ourselves.
pub const SUGGESTED_KEPT: usize = 64;

/// Pieces that a seed suggests to a peer ahead of its requests, at most. Ours.
pub const SUGGEST_AHEAD_MAX: usize = 32;

/// Bytes that a seed suggests to a peer ahead of its requests, at least. Ours: what the first
/// requests ask for.
pub const SUGGEST_AHEAD_BYTES: u64 = (REQUESTS_START as u64) << 14;

/// A seed that suggested something is asked for nothing else that seeds alone have for so long.
/// Ours: what it gives others meanwhile comes from them. No longer, because those others may take
/// nothing, and the slot would stay unused.
pub const SUGGESTIONS_AWAITED: Duration = Duration::from_secs(1);

/// A suggested piece that nobody has after this is suggested again. Ours: a seed's turn.
pub const SUGGEST_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Blocks recorded of failed pieces, all pieces together. Ours: 22 bytes each, 2.8 MiB.
pub const FAILED_BLOCKS_MAX: usize = 1 << 17;

/// Failed attempts recorded of one piece. Ours.
pub const FAILED_ATTEMPTS_MAX: usize = 8;

/// Addresses known. Ours: the sum of what each source may fill.
pub const CANDIDATES_MAX: usize = 3_000;

/// Addresses known that the person named. Ours: more than anybody types.
pub const CANDIDATES_OF_USER_MAX: usize = 300;

/// Addresses known by trackers. Ours: one gives 50 to 200 at a time.
pub const CANDIDATES_OF_TRACKERS_MAX: usize = 800;

/// Addresses known by the magnet link. Ours.
pub const CANDIDATES_OF_MAGNET_MAX: usize = 100;

/// Addresses known by announces in our own network. Ours.
pub const CANDIDATES_OF_LSD_MAX: usize = 100;

/// Addresses known because the peer dialled us. Ours: nearly all connections may be such.
pub const CANDIDATES_OF_INCOMING_MAX: usize = 700;

/// Addresses known by the distributed hash table. Ours.
pub const CANDIDATES_OF_DHT_MAX: usize = 500;

/// Addresses known by other peers. Ours.
pub const CANDIDATES_OF_PEX_MAX: usize = 500;

/// Addresses known by one other peer. Ours: two of its messages; a tenth of the share and more.
pub const CANDIDATES_OF_A_TELLER_MAX: usize = 100;

/// Addresses banned. Ours: the oldest is forgotten.
pub const BANNED_MAX: usize = 4_096;

/// Dials under way. Ours: half-open connections; home routers choke on hundreds.
pub const DIALS_MAX: usize = 30;

/// Dials under way to addresses that are hearsay (PEX, DHT). Ours: the others find a third free,
/// however many dead ones strangers name.
pub const DIALS_OF_HEARSAY_MAX: usize = 20;

/// First wait before an address is tried again. Ours: a restarted peer is back in seconds.
pub const RETRY_FIRST: Duration = Duration::from_secs(2);

/// Longest wait before an address is tried again. Ours.
pub const RETRY_MAX: Duration = Duration::from_secs(900);

/// Failures in a row after which an address is dropped, unless a person named it. Ours: by then
/// it was tried for about an hour.
pub const FAILURES_MAX: u32 = 12;

/// The same of an address that is hearsay, and where nobody ever answered. Ours: who lives there
/// is named again.
pub const FAILURES_OF_HEARSAY_MAX: u32 = 2;

/// A connection this long forgives earlier failures. Ours.
pub const FORGIVEN_AFTER: Duration = Duration::from_secs(30);

/// Fewer addresses and connections than this make us ask for more. Ours: BEP 3 knows 30 peers as
/// plenty.
pub const PEERS_WANTED: usize = 30;

/// Time between two wishes for more peers. Ours: trackers have their own, longer, minimum.
pub const WANT_PEERS_EVERY: Duration = Duration::from_secs(60);

/// A connection without interest either way may be replaced after this. Ours.
pub const USELESS_AFTER: Duration = Duration::from_secs(60);

/// Housekeeping while peers are connected. Ours.
pub const TICK: Duration = Duration::from_secs(1);

/// Time between two PEX messages to a peer. Source: BEP 11, once a minute.
pub const PEX_EVERY: Duration = Duration::from_secs(60);

/// Peers that one peer is told of at a time. Ours: four messages; it has others to ask.
pub const PEX_TOLD_MAX: usize = 200;

/// What a PEX message costs; one token comes back a second. Source: BEP 11 allows one a minute;
/// ours takes three, clocks and programs differ.
pub const PEX_HEARD_COST: u64 = 20;

/// Tokens for PEX messages at once. Source: libtorrent takes six in a minute and no more.
pub const PEX_HEARD_BURST: u64 = 6 * PEX_HEARD_COST;

/// What an introduction (BEP 55) costs who asks and who is introduced; one token comes back a
/// second. Ours: six a minute.
pub const INTRODUCTION_COST: u64 = 10;

/// Tokens for introductions at once. Ours: ten of them.
pub const INTRODUCTIONS_BURST: u64 = 10 * INTRODUCTION_COST;

/// Peers that must agree on our own address. Ours: two could be one.
pub const OUTSIDE_VOICES_MIN: usize = 3;

/// Time between two connections that give way to a newcomer of higher priority. Ours: BEP 40 names
/// none; who collects addresses of high priority takes six places a minute, and only of those who
/// came by themselves.
pub const DISPLACE_EVERY: Duration = Duration::from_secs(10);

/// A connection gives way to none for so long. Ours: time to be of use.
pub const DISPLACED_AFTER: Duration = Duration::from_secs(60);

/// Pieces of metadata asked of one peer at a time, once it gave one. Ours: 64 KiB; few enough for
/// those that answer one by one, and metadata is seldom more than several peers give at once.
pub const METADATA_IN_FLIGHT: usize = 4;

/// A peer that was asked for a piece of metadata should have given it by now. Ours: 16 KiB on a
/// slow line behind other things.
pub const METADATA_REQUEST_WITHIN: Duration = Duration::from_secs(8);

/// A piece of metadata that did not come for this long is asked of one more peer, when that has
/// nothing else to do. Ours: longer than a round trip, shorter than patience.
pub const METADATA_HEDGE_AFTER: Duration = Duration::from_secs(1);

/// Peers that one piece of metadata is asked of at a time. Ours: two duplicates of 16 KiB.
pub const METADATA_HOLDERS_MAX: usize = 3;

/// A peer that did not answer, or rejected, is asked for no metadata for so long; twice as long
/// each further time. Ours: libtorrent waits a minute after a reject; who fetches metadata itself
/// has it in a few seconds.
pub const METADATA_REST_FIRST: Duration = Duration::from_secs(5);

/// The most of [`METADATA_REST_FIRST`]. Ours.
pub const METADATA_REST_MAX: Duration = Duration::from_secs(300);

/// Pieces of metadata that are here or were asked for, bytes of all assemblies together. Ours: the
/// longest that is believed fits (`METADATA_SIZE_MAX` of `shoal-wire`), whatever many peers claim.
pub const METADATA_BYTES_MAX: usize = 64 << 20;

/// Assemblies of one peer each that are worked on at once. Ours: one that never ends does not hold
/// up the others, and what is wasted has a bound.
pub const METADATA_ASSEMBLIES_ALONE: usize = 3;

/// Mixed assemblies that failed and of which is known who sent what. Ours: 60 bytes a piece.
pub const METADATA_FAILED_KEPT: usize = 4;

/// Claims of a size remembered that no connected peer makes. Ours: those with most pieces.
pub const METADATA_CLAIMS_KEPT: usize = 16;

/// Pieces of metadata that one peer may ask for before it waits for the first. Ours: a number
/// each; the longest metadata known in the field has 900.
pub const METADATA_OWED_MAX: usize = 1_024;

/// Pieces of metadata sent to a peer at once. Ours: 256 KiB, all that most torrents have, and half
/// of what may wait for its line.
pub const METADATA_SERVED_BURST: u64 = 16;

/// Pieces of metadata sent to a peer a second, beyond. Ours: 128 KiB/s, what a home's line takes.
pub const METADATA_SERVED_PER_S: u64 = 8;

/// Haves kept of one peer while the number of pieces is not known and it sent no bitfield; above,
/// the connection is closed. Ours: who has more says so by a bitfield.
pub const EARLY_HAVES_MAX: usize = 4_096;

/// Bitfields kept of all peers while the number of pieces is not known, bytes. Ours: 64 of the
/// longest; of a usual torrent all that can be connected.
pub const EARLY_BITFIELD_BYTES_MAX: usize = 16 << 20;

/// Pieces that were on the disk before the metadata came and that are told one by one; with more,
/// connections are opened anew, so that the first message tells them. Ours: 18 KiB of haves.
pub const HAVES_WHEN_LIVE_MAX: u32 = 2_048;
