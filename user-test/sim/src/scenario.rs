//! A whole run: machines start, clients do what they do, every connection that may not be lost is brought to its end, everything
//! is closed, and nothing is left.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ksim::sim;

use crate::actor::{Actor, Slot};
use crate::machine::{self, Machine};
use crate::model::{self, Side};
use crate::plan::{Plan, Step};
use crate::report::{count, demand};
use crate::request::PATIENCE;

/// Plays a plan. It returns if nothing was wrong.
pub(crate) fn play(plan: &Plan) {
    machine::boot(plan);
    let mut machines: Vec<Machine> =
        (0..plan.fabric.machines()).map(|number| Machine::start(plan, number)).collect();
    machine::let_faults_begin(plan);
    let mut actors = act(plan, &machines);
    machine::let_faults_end();
    sim::note(format_args!("the clients are done"));
    for actor in &mut actors {
        for slot in 0..actor.slots.len() {
            actor.settle(slot, Duration::from_secs(1));
        }
    }
    for key in keys(&mut actors) {
        finish(&mut actors, key);
    }
    sim::note(format_args!("everything is closed"));
    close(&mut actors);
    model::judge();
    machines.iter_mut().for_each(Machine::deregister);
    sim::note(format_args!("the drivers are stopped"));
    machines.into_iter().for_each(Machine::stop);
    machine::prove_empty(plan);
}

/// Lets every client do its part, at the same time.
fn act(plan: &Plan, machines: &[Machine]) -> Vec<Actor> {
    let back = Arc::new(Mutex::new(Vec::new()));
    let tasks: Vec<sim::Task> = (0..plan.actors)
        .filter_map(|number| {
            let machine = machines.get(plan.machine_of(number))?;
            let mut actor = Actor::new(plan, number, machine.npi);
            let steps: Vec<Step> = plan.steps.iter().filter(|step| step.actor == number).cloned().collect();
            let back = Arc::clone(&back);
            Some(sim::spawn(&format!("client {number}"), move || {
                actor.run(&steps);
                back.lock().unwrap_or_else(PoisonError::into_inner).push((number, actor));
            }))
        })
        .collect();
    tasks.iter().for_each(sim::Task::join);
    let mut actors = std::mem::take(&mut *back.lock().unwrap_or_else(PoisonError::into_inner));
    actors.sort_by_key(|(number, _)| *number);
    actors.into_iter().map(|(_, actor)| actor).collect()
}

/// The connections that have both ends, and may not be lost.
fn keys(actors: &mut [Actor]) -> Vec<u16> {
    let mut keys = Vec::new();
    for actor in &mut *actors {
        for slot in &actor.slots {
            if let Slot::Socket(socket) = slot
                && socket.connected
                && socket.side == Side::Connecting
            {
                keys.push(socket.key);
            }
        }
    }
    keys.retain(|&key| {
        model::excuse_of(key).is_none()
            && find(actors, key, Side::Connecting).is_some()
            && find(actors, key, Side::Accepting).is_some()
    });
    keys
}

/// Where an end of a connection is.
fn find(actors: &[Actor], key: u16, side: Side) -> Option<(usize, usize)> {
    let is_it = |slot: &Slot| match slot {
        Slot::Socket(socket) => socket.key == key && socket.side == side && socket.connected,
        _ => false,
    };
    actors.iter().enumerate().find_map(|(number, actor)| Some((number, actor.slots.iter().position(is_it)?)))
}

/// Brings a connection to its end in order: everything that was sent arrives, both ends are told of the end, and every request
/// is completed with success.
fn finish(actors: &mut [Actor], key: u16) {
    let sides = [Side::Connecting, Side::Accepting];
    let places: Vec<_> = sides.iter().filter_map(|&side| Some((side, find(actors, key, side)?))).collect();
    for &(_, (number, slot)) in &places {
        if let Some(actor) = actors.get_mut(number) {
            actor.disconnect(slot, 0, false);
        }
    }
    let deadline = sim::now() + PATIENCE;
    let mut last = usize::MAX;
    loop {
        let mut open = false;
        for &(side, (number, slot)) in &places {
            let Some(actor) = actors.get_mut(number) else { continue };
            open |= !go_on(actor, slot, key, side);
        }
        if !open {
            break;
        }
        let read = sides.iter().map(|&side| model::read_so_far(key, side)).sum::<usize>();
        let moved = read != last;
        last = read;
        if !moved {
            sim::sleep(Duration::from_millis(100));
        }
        demand!(
            moved || sim::now() < deadline,
            "the connection of port {key} does not come to its end: {:?} octets are read, ended {:?}",
            sides.map(|side| model::read_so_far(key, side)),
            sides.map(|side| model::has_ended(key, side))
        );
    }
    count("connections brought to their end".to_owned());
}

/// Lets an end go on; whether it is at its end with nothing outstanding.
fn go_on(actor: &mut Actor, slot: usize, key: u16, side: Side) -> bool {
    let glance = Duration::from_millis(1);
    let Some(socket) = actor.socket(slot) else { return true };
    // A WAITALL request ends with the stream at the latest.
    socket.reap_all(glance);
    if let Some(watch) = socket.watch {
        watch.release(socket.open);
    }
    let ended = model::has_ended(key, side);
    let (outstanding, reads) = (!socket.requests.is_empty(), socket.reads());
    if !ended && !reads {
        actor.receive(slot, 7000, false);
    }
    ended && !outstanding
}

/// Closes everything, in an order of the seed's; listening sockets end their accepts.
fn close(actors: &mut [Actor]) {
    let mut places: Vec<(usize, usize)> = Vec::new();
    for (number, actor) in actors.iter().enumerate() {
        places.extend((0..actor.slots.len()).map(|slot| (number, slot)));
    }
    while !places.is_empty() {
        let next = usize::try_from(sim::draw(places.len() as u64)).unwrap_or(0);
        let (number, slot) = places.swap_remove(next);
        if let Some(actor) = actors.get_mut(number) {
            actor.close(slot);
        }
    }
    // What a listening socket's close has not cancelled was a connection already.
    for actor in &mut *actors {
        for slot in 0..actor.slots.len() {
            if let Some(Slot::Accepting(request, _)) = actor.slots.get_mut(slot) {
                request.cancelled = true;
                demand!(request.wait(Duration::ZERO).is_some(), "a WskAccept outlives its listening socket");
                actor.settle(slot, Duration::ZERO);
                actor.close(slot);
            }
        }
    }
}
