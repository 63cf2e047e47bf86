//! Items that are put by one and got by another. BEP 44.

use std::time::Duration;

use shoal_dht::{Event, Item, SecretKey, Task};

use crate::figures::collect;
use crate::world::World;

fn get(world: &mut World, item: &Item, salt: &[u8]) -> Option<Item> {
    let host = world.any();
    let task = Task::Get {
        target: item.target(),
        salt: salt.to_vec(),
    };
    let key = world.start(host, task);
    world.run_for(Duration::from_secs(15));
    let mut items = world.said.iter().filter_map(|(_, _, event)| match event {
        Event::Item { key: of, item } if *of == key => Some(item.clone()),
        _ => None,
    });
    items.next_back()
}

fn put(world: &mut World, item: &Item, cas: Option<i64>) -> (usize, Option<(i64, String)>) {
    let host = world.any();
    let task = Task::Put {
        item: item.clone(),
        cas,
        republish: false,
    };
    let begun = (world.start(host, task), world.now());
    world.run_for(Duration::from_secs(15));
    let outcome = collect(world, &[begun]).remove(0).outcome;
    (outcome.stored, outcome.refused)
}

#[test]
fn longest_item_and_versions_of_a_signed_one_come_back_in_a_network_that_loses() {
    let mut world = World::new(5, 0.03);
    world.populate(150);
    world.run_for(Duration::from_secs(20));
    let long = format!("996:{}", "x".repeat(996));
    let long = Item::immutable(long.into()).unwrap();
    assert!(put(&mut world, &long, None).0 >= 6);
    assert_eq!(get(&mut world, &long, b""), Some(long));

    let key = SecretKey::new(&[9; 32]);
    let version = |seq, value: &str| key.sign(value.into(), b"salt", seq).unwrap();
    let (first, second) = (version(1, "3:one"), version(2, "3:two"));
    assert!(put(&mut world, &first, None).0 >= 6);
    assert!(put(&mut world, &second, Some(1)).0 >= 6);
    assert_eq!(get(&mut world, &first, b"salt"), Some(second));
    assert_eq!(
        get(&mut world, &first, b"other"),
        None,
        "another salt, another name"
    );
    let (stored, refused) = put(&mut world, &first, None);
    assert_eq!(
        refused.map(|(code, _)| code),
        Some(302),
        "stored by {stored}"
    );
    let (_, refused) = put(&mut world, &version(3, "5:three"), Some(1));
    assert_eq!(refused.map(|(code, _)| code), Some(301));
}
