//! Accesses that can fail: a few instructions that touch no stack, so that the handler can let
//! them return at once by moving the program counter to [`failed`](code::failed).

pub(super) use with::{copy, land, read};

/// Whether every access of this crate to a window can fail without a page of zeros, so that
/// slices of windows may be lent.
pub(crate) const LENDS: bool = cfg!(all(
    target_os = "linux",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
));

#[cfg(all(
    target_os = "linux",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod with {
    use std::ffi::c_void;

    use super::super::Guarded;
    use super::code;

    // SAFETY: to be called as `fault::read` says.
    pub(in super::super) unsafe fn read(_: &Guarded, at: *const u8) -> Option<u8> {
        // SAFETY: the caller's promise: `at` can be read, or faults in a guarded range. Others
        // may write the byte: it is read once, as an atomic load would.
        u8::try_from(unsafe { code::read(at) }).ok()
    }

    // SAFETY: to be called as `fault::copy` says.
    pub(in super::super) unsafe fn copy(
        _: &Guarded,
        from: *const u8,
        to: *mut u8,
        length: usize,
    ) -> bool {
        // SAFETY: the caller's promise; a fault in the guarded range ends the call.
        unsafe { code::copy(to, from, 0, length) == 0 }
    }

    /// Moves the program counter when it stands in one of the functions above.
    // SAFETY: `context` is what a signal handler got from the kernel.
    pub(in super::super) unsafe fn land(context: *mut c_void) -> bool {
        // SAFETY: the caller's promise.
        let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
        #[cfg(target_arch = "x86_64")]
        let counter = &raw mut context.uc_mcontext.gregs[libc::REG_RIP as usize];
        #[cfg(target_arch = "aarch64")]
        let counter = &raw mut context.uc_mcontext.pc;
        // SAFETY: 64 bits on both processors, whatever their sign.
        let counter = unsafe { &mut *counter.cast::<u64>() };
        let functions = [
            (code::read as *const (), code::READ_LENGTH),
            (code::copy as *const (), code::COPY_LENGTH),
        ];
        let at = *counter;
        let inside = functions
            .iter()
            .any(|(start, length)| at.wrapping_sub(start.addr() as u64) < *length);
        if inside {
            *counter = (code::failed as *const ()).addr() as u64;
        }
        inside
    }
}

/// The answer is the mark.
#[cfg(not(all(
    target_os = "linux",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
mod with {
    use std::ffi::c_void;
    use std::ptr;

    use super::super::Guarded;

    // SAFETY: to be called as `fault::read` says.
    pub(in super::super) unsafe fn read(guarded: &Guarded, at: *const u8) -> Option<u8> {
        // SAFETY: the caller's promise: `at` can be read, or faults in a guarded range.
        let byte = unsafe { ptr::read_volatile(at) };
        (!guarded.is_lost()).then_some(byte)
    }

    // SAFETY: to be called as `fault::copy` says.
    pub(in super::super) unsafe fn copy(
        guarded: &Guarded,
        from: *const u8,
        to: *mut u8,
        length: usize,
    ) -> bool {
        // SAFETY: the caller's promise.
        unsafe { ptr::copy_nonoverlapping(from, to, length) };
        !guarded.is_lost()
    }

    // SAFETY: does nothing.
    pub(in super::super) unsafe fn land(_: *mut c_void) -> bool {
        false
    }
}

#[cfg(all(
    target_os = "linux",
    target_pointer_width = "64",
    target_arch = "x86_64"
))]
mod code {
    use std::arch::naked_asm;

    /// Bytes of the instructions below, up to the last that may fault at least.
    pub(super) const READ_LENGTH: u64 = 3;
    pub(super) const COPY_LENGTH: u64 = 2;

    // SAFETY: to be called for memory that is mapped, or guarded; keeps to the calling convention.
    #[unsafe(naked)]
    pub(super) unsafe extern "sysv64" fn read(at: *const u8) -> i32 {
        naked_asm!("movzx eax, byte ptr [rdi]", "ret")
    }

    /// `length` is the fourth argument because that is where the instruction counts.
    // SAFETY: to be called for memory that is mapped, or guarded; keeps to the calling convention.
    #[unsafe(naked)]
    pub(super) unsafe extern "sysv64" fn copy(
        to: *mut u8,
        from: *const u8,
        unused: usize,
        length: usize,
    ) -> i32 {
        naked_asm!("rep movsb", "xor eax, eax", "ret")
    }

    #[unsafe(naked)]
    pub(super) extern "sysv64" fn failed() -> i32 {
        naked_asm!("mov eax, -1", "ret")
    }
}

#[cfg(all(
    target_os = "linux",
    target_pointer_width = "64",
    target_arch = "aarch64"
))]
mod code {
    use std::arch::naked_asm;

    /// Bytes of the instructions below, up to the last that may fault at least.
    pub(super) const READ_LENGTH: u64 = 4;
    pub(super) const COPY_LENGTH: u64 = 12 * 4;

    // SAFETY: to be called for memory that is mapped, or guarded; keeps to the calling convention.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn read(at: *const u8) -> i32 {
        naked_asm!("ldrb w0, [x0]", "ret")
    }

    // SAFETY: to be called for memory that is mapped, or guarded; keeps to the calling convention.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn copy(
        to: *mut u8,
        from: *const u8,
        unused: usize,
        length: usize,
    ) -> i32 {
        naked_asm!(
            "subs x3, x3, #32",
            "b.lo 3f",
            "2:",
            "ldp q0, q1, [x1], #32",
            "stp q0, q1, [x0], #32",
            "subs x3, x3, #32",
            "b.hs 2b",
            "3:",
            "adds x3, x3, #32",
            "b.eq 5f",
            "4:",
            "ldrb w4, [x1], #1",
            "strb w4, [x0], #1",
            "subs x3, x3, #1",
            "b.ne 4b",
            "5:",
            "mov w0, wzr",
            "ret",
        )
    }

    #[unsafe(naked)]
    pub(super) extern "C" fn failed() -> i32 {
        naked_asm!("mov w0, #-1", "ret")
    }
}
