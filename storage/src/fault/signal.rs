//! The handler of SIGBUS: installed once, before the first mapping, on top of what was there.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::Ordering;
use std::sync::{Once, OnceLock};

use libc::{c_int, siginfo_t};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

use super::{FAULTS, Slot, TABLE, pads};

/// What was there before, and the length of a page. Set before the handler is.
static BEFORE: OnceLock<Before> = OnceLock::new();

struct Before {
    action: libc::sigaction,
    page_length: usize,
}

/// Puts the handler in place, once.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: all zeros is a `sigaction` without flags.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: asks only, and for a `sigaction` to fill.
        let asked = unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), &raw mut action) };
        // SAFETY: asks only.
        let page_length = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        BEFORE.get_or_init(|| Before {
            action,
            page_length: usize::try_from(page_length).expect("pages have a length"),
        });
        let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = on_fault;
        action.sa_sigaction = (handler as *const ()).addr();
        // On the thread's other stack where it has one, as all of Rust's own threads do.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        // SAFETY: the handler is async-signal-safe, and what it needs is set. The mask of signals
        // held back meanwhile is that of the handler before.
        let set = unsafe { libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) };
        assert_eq!((asked, set), (0, 0), "SIGBUS can be handled");
    });
}

extern "C" fn on_fault(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel gives a filled `siginfo_t` to a handler with SA_SIGINFO; for the codes
    // of a memory fault, and only then is it used, it holds an address.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
    let slot = is_memory_fault(code).then(|| TABLE.find(address)).flatten();
    // SAFETY: `context` is the kernel's, for this handler.
    if !slot.is_some_and(|slot| unsafe { answer(slot, address, context) }) {
        pass_on(signal, info, context);
    }
}

/// `BUS_ADRERR`, `BUS_OBJERR` and Linux' `BUS_MCEERR_AR`: a page could not be had just now.
fn is_memory_fault(code: c_int) -> bool {
    (2..=4).contains(&code)
}

/// Lets the access end; false when that cannot be.
// SAFETY: `context` is what the handler got.
unsafe fn answer(slot: &Slot, address: usize, context: *mut c_void) -> bool {
    FAULTS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the caller's promise.
    if unsafe { pads::land(context) } {
        return true;
    }
    // First the mark, then the zeros: who reads zeros finds the mark.
    slot.lost.store(true, Ordering::SeqCst);
    let Some(before) = BEFORE.get() else {
        return false;
    };
    let mut protection = ProtFlags::READ;
    protection.set(ProtFlags::WRITE, slot.writable.load(Ordering::Relaxed));
    let page = address & !(before.page_length - 1);
    let flags = MapFlags::PRIVATE | MapFlags::FIXED;
    // SAFETY: the page lies in a mapping that is registered, so it belongs to this crate, and it
    // is in use by the thread that faulted, so it is not unmapped now. What is replaced could not
    // be read, and every reader looks at the mark afterwards.
    let page = ptr::without_provenance_mut(page);
    unsafe { mmap_anonymous(page, before.page_length, protection, flags) }.is_ok()
}

/// To whoever was there before, or to the system, so that the process ends as it would have.
fn pass_on(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: as in `on_fault`.
    let code = unsafe { (*info).si_code };
    // Sent by someone, not by a fault. BSD's `SI_USER` is large, Linux' is zero.
    let sent = !(1..=0xffff).contains(&code);
    let before = BEFORE.get().map(|before| before.action);
    let before = before.map_or((libc::SIG_DFL, 0), |action| {
        (action.sa_sigaction, action.sa_flags)
    });
    match before {
        (libc::SIG_IGN, _) if sent => {}
        (libc::SIG_DFL | libc::SIG_IGN, _) => {
            // SAFETY: the default action is always allowed. A fault comes again when this handler
            // returns, then with its own address for the core dump; a signal does not.
            unsafe {
                libc::signal(signal, libc::SIG_DFL);
                if sent {
                    libc::raise(signal);
                }
            }
        }
        (handler, flags) if flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: with SA_SIGINFO, that is the type of the function that was installed.
            let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
                unsafe { std::mem::transmute(handler) };
            handler(signal, info, context);
        }
        (handler, _) => {
            // SAFETY: without SA_SIGINFO, that is the type of the function that was installed.
            let handler: extern "C" fn(c_int) = unsafe { std::mem::transmute(handler) };
            handler(signal);
        }
    }
}
