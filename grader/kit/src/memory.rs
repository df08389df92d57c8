//! Little memory, so that what grows with each call is found after thousands of calls and not after
//! millions.

/// Blocks from large to small: what the large ones leave, the small ones fill.
const BLOCKS: [usize; 4] = [16 << 20, 1 << 20, 64 << 10, 4 << 10];

/// More than a check process may have in all. Where there is no limit, memory does not get scarce.
const MOST: usize = 2 << 30;

/// Reserves all memory that this process may have but `left` bytes, until it is dropped. Nothing is
/// written to it, so no memory of the machine is used.
#[must_use = "the memory is free again as soon as this is dropped"]
pub fn scarce(left: usize) -> impl Drop {
    let mut blocks: Vec<Vec<u8>> = Vec::with_capacity(1 << 16);
    let mut sum = 0;
    for size in BLOCKS {
        while sum < MOST && blocks.len() < blocks.capacity() {
            let mut block = Vec::new();
            if block.try_reserve_exact(size).is_err() {
                break;
            }
            sum += size;
            blocks.push(block);
        }
    }
    let mut free = 0;
    while free < left {
        let Some(block) = blocks.pop() else { break };
        free += block.capacity();
    }
    Reserved(blocks)
}

struct Reserved(Vec<Vec<u8>>);

impl Drop for Reserved {
    fn drop(&mut self) {
        self.0.clear();
    }
}
