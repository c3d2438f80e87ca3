use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// Does something with each of some things, with at most so `many` threads, because a store answers many questions as fast as one. The
/// answers are in the order of the things. After an error, nothing more is begun.
pub fn at_once<T: Sync, R: Send, E: From<io::Error> + Send>(
    things: &[T],
    many: usize,
    one: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(thing) = things.get(place) else { return Ok::<_, E>(found) };
            found.push((place, one(thing).inspect_err(|_error| next.store(things.len(), Ordering::Relaxed))?));
        }
    };
    let mut found = thread::scope(|scope| {
        let spawned = (0..many.min(things.len())).map(|_| thread::Builder::new().spawn_scoped(scope, work));
        let workers: Vec<_> = spawned.collect::<io::Result<_>>()?;
        let mut all = Vec::with_capacity(things.len());
        for worker in workers {
            let panicked = |_panic| E::from(io::Error::other("a thread that reads files panicked"));
            all.append(&mut worker.join().map_err(panicked)??);
        }
        Ok::<_, E>(all)
    })?;
    found.sort_unstable_by_key(|(place, _)| *place);
    Ok(found.into_iter().map(|(_, found)| found).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_in_the_order_of_the_questions() -> io::Result<()> {
        let things: Vec<u64> = (0..100).collect();
        let twice = |thing: &u64| Ok::<_, io::Error>(2 * thing);
        assert_eq!(at_once(&things, 16, twice)?, things.iter().map(|thing| 2 * thing).collect::<Vec<_>>());
        assert!(at_once(&[], 16, twice)?.is_empty());
        let failed = at_once(&things, 16, |thing| if *thing == 50 { Err(io::Error::other("50")) } else { Ok(()) });
        assert!(failed.is_err_and(|error| error.to_string().contains("50")));
        Ok(())
    }
}
