#include "parallel.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>

namespace errata {
namespace {

// Handing a part to another thread takes some 10 µs.
constexpr int64_t kLeastNanoseconds = 20'000;
constexpr int kMostThreads = 32;

struct Job {
  const std::function<void(int64_t, int64_t)>* work;
  int64_t count;
  int64_t part;
  std::atomic<int64_t> next{0};

  void Run() {
    for (;;) {
      const int64_t begin = next.fetch_add(part, std::memory_order_relaxed);
      if (begin >= count) return;
      (*work)(begin, std::min(begin + part, count));
    }
  }
};

class Pool {
 public:
  Pool() : helpers_(Threads() - 1) {
    // Signals are for the main thread: no helper takes one.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 0; i < helpers_; i++) std::thread([this] { Serve(); }).detach();
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  int helpers() const { return helpers_; }

  // False, with nothing done, where another caller has the helpers.
  bool Run(Job& job, int wanted) {
    std::unique_lock<std::mutex> caller(caller_, std::try_to_lock);
    if (!caller.owns_lock()) return false;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      job_ = &job;
      places_ = std::min(wanted, helpers_);
    }
    if (wanted == 1)
      wake_.notify_one();
    else
      wake_.notify_all();
    job.Run();
    std::unique_lock<std::mutex> lock(mutex_);
    job_ = nullptr;
    idle_.wait(lock, [this] { return running_ == 0; });
    return true;
  }

 private:
  static int Threads() {
    const char* asked = std::getenv("TF_NUM_INTRAOP_THREADS");
    int threads = asked ? std::atoi(asked) : 0;
    if (threads <= 0) threads = static_cast<int>(std::thread::hardware_concurrency());
    return std::clamp(threads, 1, kMostThreads);
  }

  void Serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return job_ != nullptr && places_ > 0; });
      Job* job = job_;
      places_--;
      running_++;
      lock.unlock();
      job->Run();
      lock.lock();
      if (--running_ == 0) idle_.notify_one();
    }
  }

  const int helpers_;
  std::mutex caller_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable idle_;
  Job* job_ = nullptr;
  int places_ = 0;
  int running_ = 0;
};

}  // namespace

void ParallelFor(int64_t count, int64_t nanoseconds, const std::function<void(int64_t, int64_t)>& work) {
  if (count <= 0) return;
  const int64_t total = count * std::max<int64_t>(nanoseconds, 1);
  // Never freed: helpers run until the process ends.
  static Pool* pool = new Pool();
  const int64_t useful = std::min<int64_t>(total / kLeastNanoseconds, pool->helpers());
  if (useful >= 1 && count > 1) {
    // Parts smaller than a thread's share even out what the threads do not begin together.
    const int64_t parts = std::min(count, 4 * (useful + 1));
    Job job{&work, count, (count + parts - 1) / parts};
    if (pool->Run(job, static_cast<int>(useful))) return;
  }
  work(0, count);
}

}  // namespace errata
